from dataclasses import replace
from itertools import pairwise

import pytest

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.emergency import SETTINGS, WHOLE, WINDOW, EmergencyScorer, gates_of, windows
from jiesu_nlp.errors import DataError
from jiesu_nlp.explain import explain
from jiesu_nlp.gates import GATES_YAML, GateBook, read_gates
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import Gate
from training.emergency import KINDS

LETTER = "我们小区绿化多年没有人管,草长得比人高,物业只会收钱。停车位也不够,晚上回来转半天。" * 4


@pytest.fixture(scope="module")
def scorer(bundle) -> EmergencyScorer:
    found = EmergencyScorer.from_bundle(bundle)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("三楼窗户呼呼往外冒火苗里面还有人喊你们快点来啊", "119"),
        ("我老公拿菜刀追着砍我我锁在厕所里他在踹门", "110"),
        ("老头子突然倒地上了叫不醒嘴都紫了快派救护车", "120"),
        ("满屋都是煤气味阀门关不上我不敢开灯", "gas"),
        ("刚才大货车把骑电动车的撞飞了人躺在马路中间头上流血", "122"),
    ],
)
def test_emergencies_and_their_line(scorer, text, kind):
    assert scorer.alarm(text).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "去年我们楼着过一次火,消防通道现在还堵着",
        "请问燃气报警器在哪里买",
        "楼上天天吵死人了,气得我要跳楼",
        "家里停水两天了快派人来修",
        "电梯坏了没人修,里面没人,老人天天爬楼",
        "建议学校组织防溺水演练",
        "你好",
        "",
        "...",
    ],
)
def test_near_misses(scorer, text):
    kind, probability, _ = scorer.alarm(text)
    assert kind == "none"
    assert 0 <= probability < scorer.threshold


def test_one_sentence_of_a_long_letter_is_heard(scorer):
    cry = "现在三楼着火了往外冒浓烟,两个老人困在里面喊救命,快来人!"
    assert scorer.alarm(LETTER).kind == "none"
    text = LETTER + cry + LETTER
    alarm = scorer.alarm(text)
    assert alarm.kind == "119"
    assert cry[:10] in text[slice(*alarm.span)]
    for start, end in scorer.evidence(text, alarm.span):
        assert alarm.span[0] <= start < end <= alarm.span[1]


@pytest.mark.parametrize(
    "text", [LETTER, "没有标点的话" * 80, "。" * 300, "短", "啊" * (WHOLE + 1)]
)
def test_windows_cover_the_text_in_order(text):
    spans = windows(text)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    assert all(a < b for a, b in spans)
    assert all(later[0] <= first[1] for first, later in pairwise(spans))
    if len(text) > WHOLE:
        assert all(b - a <= WINDOW for a, b in spans)


def test_a_bundle_carries_it_unchanged(bundle, scorer):
    again = EmergencyScorer.from_bundle(bundle)
    assert again.to_files() == scorer.to_files()


def test_a_bundle_without_it_still_answers(bundle):
    files = {k: v for k, v in bundle.manifest["files"].items() if k != SETTINGS}
    old = replace(bundle, manifest={**bundle.manifest, "files": files})
    dispatcher = Dispatcher.from_bundle(old)
    assert dispatcher.emergency is None
    assert dispatcher.suggest("你好,路灯不亮").gate.kind == Gate.NONE
    assert explain(dispatcher, "路灯不亮").to_dict()


HEARD = "孩子挂在阳台外面两只手扒着晾衣杆，马上撑不住了"


def test_the_dispatcher_raises_the_gate_with_line_and_evidence(dispatcher):
    assert dispatcher.knowledge.gates.examine(normalise(HEARD).text)[0].kind == Gate.NONE
    gate = dispatcher.suggest(HEARD).gate
    assert gate.kind == Gate.EMERGENCY
    assert gate.article == "第十一条第三款第一项"
    assert "119" in gate.advice
    assert gate.evidence
    assert all(0 <= a < b <= len(HEARD) for a, b in gate.evidence)


def test_words_that_call_it_off_are_respected(dispatcher):
    text = HEARD + "，已经救出来了"
    assert dispatcher.emergency.alarm(normalise(text).text).kind != "none"
    assert dispatcher.suggest(text).gate.kind == Gate.NONE
    stage = next(s for s in explain(dispatcher, text).stages if s.key == "gates")
    assert "已经救出" in stage.facts["sound"]["result"]


JOKE = "楼上天天蹦,再不管我就跳楼,物业也不理"


def test_words_that_do_not_sound_like_danger_are_silenced(dispatcher):
    book, scorer = dispatcher.knowledge.gates, dispatcher.emergency
    text = normalise(JOKE).text
    assert book.examine(text)[0].kind == Gate.EMERGENCY
    assert scorer.alarm(text).probability < scorer.floor < scorer.threshold
    assert gates_of([text], book, scorer)[0][0].kind == Gate.NONE
    assert gates_of([text], book, replace(scorer, floor=0.0))[0][0].kind == Gate.EMERGENCY
    assert gates_of([text], book, None)[0][0].kind == Gate.EMERGENCY
    stage = next(s for s in explain(dispatcher, JOKE).stages if s.key == "gates")
    assert any("评分低于下限" in t["result"] for t in stage.facts["tried"])


def test_the_explanation_says_why(dispatcher):
    stage = next(s for s in explain(dispatcher, HEARD).stages if s.key == "gates")
    assert stage.facts["kind"] == Gate.EMERGENCY
    assert "没有触发词" in stage.facts["because"]
    assert stage.facts["sound"]["words"]


def test_every_kind_has_advice_that_names_its_line(knowledge):
    book = knowledge.gates
    assert set(book.by_kind) == set(KINDS)
    assert all(k.line in k.advice and k.article for k in book.kinds)
    assert GateBook.from_json(book.to_json()) == book
    before = {k: v for k, v in book.to_json().items() if k != "kinds"}
    assert GateBook.from_json(before).kinds == ()


@pytest.mark.parametrize(
    ("kinds", "field"),
    [
        ("- {kind: 911, line: 1, article: a, advice: b}", "kind"),
        ("- {kind: gas, line: 1, article: a}", "advice"),
        ("- {kind: gas, line: 1, article: a, advice: b}\n" * 2, "kind"),
    ],
)
def test_bad_kinds_are_refused(tmp_path, kinds, field):
    gate = "- {id: G, kind: emergency, article: a, advice: b, words: [火]}"
    (tmp_path / GATES_YAML).write_text(f"gates:\n{gate}\nkinds:\n{kinds}\n", "utf-8")
    with pytest.raises(DataError) as caught:
        read_gates(tmp_path)
    assert caught.value.field == field


def test_a_lone_surrogate_does_no_harm(scorer):
    assert scorer.alarm("着火了\ud800快来救火").probability > 0


def test_many_texts_at_once_sound_as_each_alone(dispatcher):
    texts = [LETTER, "着火了", "您好", LETTER + "救命", "", "电梯里有人困住了,快来"]
    scorer = dispatcher.emergency
    for together, text in zip(scorer.alarms(texts), texts, strict=True):
        alone = scorer.alarm(text)
        assert together.kind == alone.kind
        assert together.span == alone.span
        assert together.probability == pytest.approx(alone.probability)
