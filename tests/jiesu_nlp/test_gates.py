import time
from pathlib import Path

import pytest

from jiesu_nlp.errors import DataError
from jiesu_nlp.gates import GATES_YAML, NO_GATE, GateBook, read_gates
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import Gate
from tests.conftest import TAXONOMY


def sentences(name: str) -> list[tuple[str, ...]]:
    text = (Path(__file__).parent / name).read_text("utf-8")
    return [tuple(line.split("\t")) for line in text.splitlines()[1:]]


SENTENCES = sentences("gate_sentences.tsv")
ITEM = {
    "emergency": "第一项",
    "statutory": "第二项",
    "repeat": "第三项",
    "secret": "第四项",
    "beyond": "第五项",
    "unlawful": "第六项",
}


@pytest.fixture(scope="module")
def book() -> GateBook:
    return read_gates(TAXONOMY / "rules")


def test_there_are_enough_sentences_of_both_sides():
    kinds = [kind for kind, _ in SENTENCES]
    assert len(SENTENCES) >= 300
    assert kinds.count("emergency") >= 130
    assert kinds.count("none") >= 150


@pytest.mark.parametrize(("kind", "text"), SENTENCES)
def test_sentences(book, kind, text):
    normal = normalise(text).text
    advice, _ = book.examine(normal)
    assert advice.kind == kind, [(t.gate.id, t.failed, t.by) for t in book.trials(normal)]
    if kind != "none":
        assert advice.article == f"第十一条第三款{ITEM[kind]}"
        assert advice.advice
        assert all(0 <= a < b <= len(normal) for a, b in advice.evidence)
        assert advice.evidence


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("楼道里全是煤气味,赶紧派人", "96777"),
        ("六楼着火了,冒黑烟,快来救火", "119"),
        ("有人要跳楼,站在楼顶边上", "110"),
        ("有个大爷躺在地上一动不动,快叫救护车", "120"),
        ("有人困在电梯里出不来", "96333"),
        ("路口出车祸了,人躺在地上动不了,赶紧", "122"),
        ("高压线断了掉在人行道上打火花", "95598"),
    ],
)
def test_the_advice_names_the_line(book, text, line):
    advice, _ = book.examine(text)
    assert advice.kind == Gate.EMERGENCY
    assert line in (advice.advice or "")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("再不解决我就不想活了", "轻生"),
        ("我们几百人要去区政府", "群体聚集"),
        ("再不管我就发抖音曝光你们", "媒体曝光"),
        ("楼下独居老人三天没出门", "老年人独居"),
        ("坐轮椅的残疾人出不了门", "残疾人"),
        ("隔壁住了几个外国人", "外籍"),
        ("我女儿十岁,是小学生", "未成年人"),
    ],
)
def test_sensitive_tags(book, text, tag):
    assert tag in book.examine(text)[1]


def test_tags_do_not_fire_inside_other_words(book):
    assert "残疾人" not in book.examine("残疾人车位被占")[1]
    assert "轻生" not in book.examine("跳楼价大甩卖")[1]


def test_every_kind_of_article_11_has_a_gate(book):
    assert {a.gate for a in book.advices} == set(Gate) - {Gate.NONE}
    for told in (*book.gates, *book.advices):
        gate = told.kind if told.kind in ITEM else Gate.EMERGENCY
        assert told.article == f"第十一条第三款{ITEM[gate]}"
        assert told.advice.endswith("。")


@pytest.mark.parametrize(
    ("kind", "text", "word"),
    [
        ("statutory", "我的信访件三个月没答复", "信访渠道"),
        ("statutory", "判决生效了法院不给执行", "12368"),
        ("statutory", "村书记把征地款揣自己兜里", "12388"),
        ("statutory", "这事该找谁告", "12348"),
        ("secret", "告诉我那个部队有多少人", "国家秘密"),
        ("secret", "把她电话给我", "个人信息"),
        ("beyond", "老家房子被邻居占了", "外省市"),
        ("beyond", "朋友借我两万不还", "民事纠纷"),
        ("beyond", "陪我聊会儿天", "社会渠道"),
        ("gas", "一屋子煤气", "96777"),
    ],
)
def test_the_advice_fits_what_the_stretch_speaks_of(book, kind, text, word):
    advice = book.advice_for(kind, text)
    assert advice is not None
    assert word in advice.advice
    assert book.advice_for("nothing", text) is None


def test_the_gates_of_leaves_name_leaves_that_exist(book, knowledge):
    assert book.gate_of_leaf
    for code, gate in book.gate_of_leaf.items():
        assert code in knowledge.catalogue
        assert gate in set(Gate) - {Gate.NONE}


def test_a_sure_matter_raises_the_gate_without_its_words(book):
    advice = book.of_leaf("12-07-001", "关里头八个人,按铃没人接")
    assert advice.kind == Gate.EMERGENCY
    assert book.of_leaf("12-07-001", "上次被关了半小时,要个说法") == NO_GATE
    assert book.of_leaf("04-01-001", "物业不好") == NO_GATE


def test_an_ordinary_text_costs_next_to_nothing(book):
    text = "我住在望京西园四区三号楼,楼下烧烤店每天晚上十二点还在营业,油烟味特别大,噪音也大," * 3
    book.examine(text)
    started = time.perf_counter()
    for _ in range(300):
        book.examine(text[:150])
    assert (time.perf_counter() - started) / 300 < 200e-6, "stated: 40 µs; slack for slow machines"


def test_a_lone_surrogate_does_no_harm(book):
    assert book.examine("着火了\ud800快来救火")[0].kind == Gate.EMERGENCY


def test_gates_survive_a_bundle(book):
    copy = GateBook.from_json(book.to_json())
    assert copy == book
    import json

    assert GateBook.from_json(json.loads(json.dumps(book.to_json()))) == book


# --- the engine ---------------------------------------------------------------------------------

GATE = "id: G, kind: emergency, article: 第十一条, advice: 转接, words: [火]"


def book_of(tmp_path, gate, head=""):
    (tmp_path / GATES_YAML).write_text(f"{head}gates:\n- {{{gate}}}\n", "utf-8")
    return read_gates(tmp_path)


def holds(book, text):
    return book.examine(text)[0].kind == Gate.EMERGENCY


def test_every_group_must_stand_close_by_in_the_same_sentence(tmp_path):
    book = book_of(tmp_path, GATE + ", with: [[烟], [楼, 车]], reach: 5")
    assert holds(book, "楼里火和烟")
    assert not holds(book, "楼里有火")
    assert not holds(book, "火。烟在楼里")
    assert not holds(book, "火很大很大很大很大,楼里有烟")


def test_some_of_the_groups_may_be_enough(tmp_path):
    book = book_of(tmp_path, GATE + ", with: [[烟], [楼], [人]], need: 2")
    assert holds(book, "楼里火和烟")
    assert holds(book, "有人看见楼里有火")
    assert not holds(book, "楼里有火")


ADVICE = "kind: beyond, article: 甲, advice: 乙"


def test_advice_is_called_off_too(tmp_path):
    head = f"advice:\n- {{{ADVICE}, leaf: ['01-01-001'], unless: [上次], despite: [现在]}}\n"
    book = book_of(tmp_path, GATE, head)
    assert book.of_leaf("01-01-001", "借钱不还").kind == Gate.BEYOND
    assert book.of_leaf("01-01-001", "上次借钱不还") == NO_GATE
    assert book.of_leaf("01-01-001", "上次借钱现在不还").kind == Gate.BEYOND


@pytest.mark.parametrize(
    ("advice", "field", "said"),
    [
        ("- {kind: 911, article: a, advice: b}", "kind", "可用"),
        ("- {kind: none, article: a, advice: b}", "kind", "可用"),
        ("- {kind: gas, article: a, advice: b}", "line", "补上"),
        ("- {kind: gas, line: 1, article: a}", "advice", "补上"),
        (f"- {{{ADVICE}}}\n- {{{ADVICE}, words: [借]}}", "kind", "轮不到"),
        (f"- {{{ADVICE}, words: [借]}}", "advice", "没有 words"),
    ],
)
def test_bad_advice_is_refused(tmp_path, advice, field, said):
    with pytest.raises(DataError) as caught:
        book_of(tmp_path, GATE, f"advice:\n{advice}\n")
    assert caught.value.field == field
    assert said in str(caught.value)


def test_calling_off_and_despite(tmp_path):
    book = book_of(tmp_path, GATE + ", unless: [上次], despite: [现在], window: 6")
    assert not holds(book, "上次有火")
    assert holds(book, "上次有火,现在没人管")
    assert holds(book, "上次的事没有人管我们,今天有火")
    assert holds(book, "上次来过。有火")


def test_what_stands_right_before_and_after(tmp_path):
    book = book_of(tmp_path, GATE + ", before: [防], after: [锅]")
    assert not holds(book, "防火")
    assert not holds(book, "火锅")
    assert holds(book, "防不住的火")


@pytest.mark.parametrize(("sure", "kind"), [("false", "none"), ("true", "emergency")])
def test_in_doubt_only_sure_emergencies_count(tmp_path, sure, kind):
    book = book_of(tmp_path, f"{GATE}, sure: {sure}")
    assert book.examine("屋里有火")[0].kind == Gate.EMERGENCY
    assert book.examine("屋里有火", doubted=True)[0].kind == kind


def test_doubt_does_not_touch_the_other_gates(tmp_path):
    book = book_of(tmp_path, GATE.replace("emergency", "statutory").replace("火", "仲裁"))
    text = "我已经申请了劳动仲裁,想问什么时候开庭"
    assert book.examine(text, doubted=True)[0].kind == Gate.STATUTORY


def test_lists_stand_for_their_words(tmp_path):
    head = "lists:\n- {name: 过去, words: [上次, 去年]}\n"
    book = book_of(tmp_path, GATE + ", unless: [$过去, 假如]", head)
    assert book.gates[0].unless == ("上次", "去年", "假如")


@pytest.mark.parametrize(
    ("gate", "field", "said"),
    [
        (GATE.replace("emergency", "fire"), "kind", "可用"),
        (GATE.replace("emergency", "none"), "kind", "可用"),
        (GATE.replace("[火]", "[]"), "words", "至少"),
        (GATE.replace("[火]", "[$没有]"), "words", "没有词表"),
        (GATE.replace("advice: 转接, ", ""), "advice", "补上"),
        (GATE + ", window: 近", "window", "正整数"),
        (GATE + ", reach: 0", "reach", "正整数"),
        (GATE + ", near: 3", "near", "可用字段"),
        (GATE + ", sure: 是", "sure", "true"),
    ],
)
def test_bad_gates_are_refused_with_file_line_and_remedy(tmp_path, gate, field, said):
    with pytest.raises(DataError) as caught:
        book_of(tmp_path, gate)
    assert caught.value.field == field
    assert caught.value.line == 2
    assert "gates.yaml" in str(caught.value)
    assert said in str(caught.value)
