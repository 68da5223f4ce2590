from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.explain import explain
from jiesu_nlp.gate_scorer import (
    SETTINGS,
    WHOLE,
    WINDOW,
    GateScorer,
    gates_of,
    windows,
)
from jiesu_nlp.gates import LINES
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import Gate

LETTER = "我们小区绿化多年没有人管,草长得比人高,物业只会收钱。停车位也不够,晚上回来转半天。" * 4


@pytest.fixture(scope="module")
def scorer(bundle) -> GateScorer:
    found = GateScorer.from_bundle(bundle)
    assert found is not None
    return found


def raised(scorer: GateScorer, text: str) -> list[str]:
    return scorer.raised(scorer.score([text]).probabilities[0])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("三楼窗户呼呼往外冒火苗里面还有人喊你们快点来啊", "119"),
        ("我老公拿菜刀追着砍我我锁在厕所里他在踹门", "110"),
        ("老头子突然倒地上了叫不醒嘴都紫了快派救护车", "120"),
        ("满屋都是煤气味阀门关不上我不敢开灯", "gas"),
        ("刚才大货车把骑电动车的撞飞了人躺在马路中间头上流血", "122"),
    ],
)
def test_emergencies_and_their_line(scorer, text, line):
    assert raised(scorer, text)[0] == Gate.EMERGENCY
    assert scorer.line(text) == line


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
    assert raised(scorer, text) == []
    assert all(scorer.score([text]).probabilities[0] >= 0)


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        ("statutory", "官司打赢了,可是那边名下没钱,法官说先放一放,我这判决书不成废纸了"),
        ("repeat", "昨天跟你们说的路灯的事,没别的,就问问办到哪一步了"),
        ("secret", "帮我看看前妻现在跟谁住一块儿,门牌号给我就行"),
        ("beyond", "发小跟我借了两万块一直拖着,你们给我去要回来"),
        ("unlawful", "多少钱能给我弄个本科毕业证,网上能查到的那种"),
    ],
)
def test_the_other_gates(scorer, gate, text):
    assert raised(scorer, text)[0] == gate


@pytest.mark.parametrize(
    "text",
    [
        "再不解决我就去法院告你们,楼道的灯半年没亮了",
        "上次反映的井盖修好了,这回是旁边的路灯不亮",
        "快递把我的电话地址贴在门口谁都能看见,管管吧",
        "房东到期不退我押金,中介也不管",
        "有人在地铁口卖假证,你们派人查查",
    ],
)
def test_what_only_sounds_like_another_gate(scorer, text):
    assert raised(scorer, text) == []


def test_one_sentence_of_a_long_letter_is_heard(scorer):
    cry = "现在三楼着火了往外冒浓烟,两个老人困在里面喊救命,快来人!"
    assert raised(scorer, LETTER) == []
    text = LETTER + cry + LETTER
    assert raised(scorer, text) == [Gate.EMERGENCY]
    span = scorer.score([text]).stretch(0, Gate.EMERGENCY)
    assert cry[:10] in text[slice(*span)]
    for start, end in scorer.evidence(text, span, Gate.EMERGENCY):
        assert span[0] <= start < end <= span[1]


def test_an_emergency_goes_before_what_is_clearer(scorer):
    probabilities = np.where(np.array(scorer.gates) == Gate.EMERGENCY, scorer.thresholds, 0.999)
    assert scorer.raised(probabilities)[0] == Gate.EMERGENCY


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
    again = GateScorer.from_bundle(bundle)
    assert again.to_files() == scorer.to_files()


def test_a_bundle_without_it_still_answers(bundle):
    files = {k: v for k, v in bundle.manifest["files"].items() if k != SETTINGS}
    old = replace(bundle, manifest={**bundle.manifest, "files": files})
    dispatcher = Dispatcher.from_bundle(old)
    assert dispatcher.gate_scorer is None
    assert dispatcher.suggest("你好,路灯不亮").gate.kind == Gate.NONE
    assert explain(dispatcher, "路灯不亮").to_dict()


HEARD = "孩子挂在阳台外面两只手扒着晾衣杆，马上撑不住了"


def gate_stage(dispatcher, text):
    return next(s for s in explain(dispatcher, text).stages if s.key == "gates")


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
    assert raised(dispatcher.gate_scorer, normalise(text).text) == [Gate.EMERGENCY]
    assert dispatcher.suggest(text).gate.kind == Gate.NONE
    (score, *_) = gate_stage(dispatcher, text).facts["scores"]
    assert "已经救出" in score["result"]


JOKE = "楼上天天蹦,再不管我就跳楼,物业也不理"


def test_words_that_do_not_sound_like_danger_are_silenced(dispatcher):
    book, scorer = dispatcher.knowledge.gates, dispatcher.gate_scorer
    text = normalise(JOKE).text
    assert book.examine(text)[0].kind == Gate.EMERGENCY
    assert scorer.score([text]).probabilities[0, 0] < scorer.floor < scorer.thresholds[0]
    assert gates_of([text], book, scorer)[0][0].kind == Gate.NONE
    assert gates_of([text], book, replace(scorer, floor=0.0))[0][0].kind == Gate.EMERGENCY
    assert gates_of([text], book, None)[0][0].kind == Gate.EMERGENCY
    tried = gate_stage(dispatcher, JOKE).facts["tried"]
    assert any("评分低于下限" in t["result"] for t in tried)


@pytest.mark.parametrize(
    ("text", "gate"), [(HEARD, "emergency"), ("帮我查一下我前妻现在住哪", "secret")]
)
def test_the_explanation_says_why(dispatcher, text, gate):
    facts = gate_stage(dispatcher, text).facts
    assert facts["kind"] == gate
    assert "整段话像" in facts["because"]
    score = next(s for s in facts["scores"] if s["gate"] == gate)
    assert score["words"]
    assert score["result"] == "成立"
    assert all(word in facts["because"] for word in score["words"])


def test_every_line_has_advice_that_names_it(knowledge, scorer):
    lines = {a.kind: a for a in knowledge.gates.advices if a.gate == Gate.EMERGENCY}
    assert set(lines) == set(LINES) == set(scorer.lines)
    assert all(advice.line in advice.advice for advice in lines.values())


def test_a_lone_surrogate_does_no_harm(scorer):
    assert scorer.score(["着火了\ud800快来救火"]).probabilities[0, 0] > 0


def test_many_texts_at_once_score_as_each_alone(dispatcher):
    texts = [LETTER, "着火了", "您好", LETTER + "救命", "", "电梯里有人困住了,快来"]
    scorer = dispatcher.gate_scorer
    together = scorer.score(texts).probabilities
    alone = np.concatenate([scorer.score([text]).probabilities for text in texts])
    assert together == pytest.approx(alone)
