import json

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jiesu_nlp import Ticket, UsageError
from jiesu_nlp.schema import json_schema
from tests.conftest import ROOT

GOLD = ROOT / "tests" / "gold" / "tickets.jsonl"
TEXTS = (
    "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开",
    "楼道里全是煤气味，怀疑燃气泄漏",
    "我姓张，电话13800001234，住在回龙观，公司在海淀区上地，公司楼下共享单车堆得走不了路",
    "一、小区停水两天了，物业说是自来水公司的事；二、楼下广场舞音箱太吵，半夜十一点还在放",
    "請問孩子上小學怎麼報名？😀",
)


@pytest.mark.parametrize("text", TEXTS)
def test_answers_follow_the_committed_schema(dispatcher, text):
    schema = json.loads((ROOT / "docs" / "suggestion.schema.json").read_text())
    jsonschema.validate(dispatcher.suggest(text, id="T1").to_dict(), schema)


def test_committed_schema_is_current():
    committed = json.loads((ROOT / "docs" / "suggestion.schema.json").read_text())
    assert committed == json_schema(), "run ./run schema"


def spans_of(answer):
    yield from answer["gate"]["evidence"]
    for demand in answer["demands"]:
        yield demand["span"]
        yield from (s for c in demand["categories"] for s in c["evidence"])
        yield from demand["place"]["evidence"]
        yield from demand["request_type"]["evidence"]
        for kind in ("time", "owner", "actor"):
            yield from (e["span"] for e in demand["elements"][kind])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.characters(), min_size=1, max_size=300))
def test_any_text_is_answered_or_refused_and_spans_point_into_it(dispatcher, text):
    try:
        answer = dispatcher.suggest(text).to_dict()
    except UsageError:
        assert not text.strip() or "\x00" in text
        return
    assert answer["demands"]
    assert len(answer["redacted_text"]) == len(text)
    for start, end in spans_of(answer):
        assert 0 <= start <= end <= len(text)


def test_personal_data_in_disguise_are_masked_in_the_original(dispatcher):
    text = "我叫呃张伟强，门口路灯不亮，電話138嗯1234呃5678"
    masked = "我叫呃张**，门口路灯不亮，電話*************"
    assert dispatcher.suggest(text).redacted_text == masked


def test_many_answers_like_one(dispatcher):
    many = [s.to_dict() for s in dispatcher.suggest_many(TEXTS, batch_size=2)]
    for text, got in zip(TEXTS, many, strict=True):
        alone = dispatcher.suggest(text).to_dict()
        got.pop("elapsed_ms")
        alone.pop("elapsed_ms")
        got_p = [c.pop("confidence") for d in got["demands"] for c in d["categories"]]
        one_p = [c.pop("confidence") for d in alone["demands"] for c in d["categories"]]
        assert got_p == pytest.approx(one_p, abs=1e-3)
        assert got["demands"][0]["unit"]["name"] == alone["demands"][0]["unit"]["name"]
        assert got["redacted_text"] == alone["redacted_text"]


def test_a_large_batch_is_classified_part_by_part(dispatcher, monkeypatch):
    monkeypatch.setattr("jiesu_nlp.dispatcher._CLASSIFIED_TOGETHER", 2)
    answers = [
        [s.to_dict() | {"elapsed_ms": None} for s in dispatcher.suggest_many(TEXTS, batch_size=n)]
        for n in (2, len(TEXTS))
    ]
    assert answers[0] == answers[1]


def test_personal_data_never_leave(dispatcher):
    answer = json.dumps(dispatcher.suggest(TEXTS[2]).to_dict(), ensure_ascii=False)
    assert "13800001234" not in answer


def test_probabilities_are_consistent_up_the_tree(dispatcher):
    probabilities = dispatcher.classifier.probabilities(list(TEXTS))
    assert (probabilities >= 0).all()
    assert (probabilities.sum(axis=1) <= 1 + 1e-4).all()
    classes = dispatcher.classifier.class_probabilities(probabilities)
    assert classes.sum(axis=1) == pytest.approx(probabilities.sum(axis=1), abs=1e-4)
    for prediction, row in zip(dispatcher.classifier.predict(list(TEXTS)), classes, strict=True):
        assert prediction.class_probability == pytest.approx(float(row.max()), abs=1e-6)


def test_emergency_sets_the_two_hour_deadline(dispatcher):
    answer = dispatcher.suggest(TEXTS[1])
    assert answer.gate.kind == "emergency"
    assert {d.deadline.tier for d in answer.demands} == {"2h"}


@pytest.mark.parametrize(
    ("text", "code", "unit"),
    [
        ("西城区什刹海街道，我爸突然倒在地上，叫不醒，脸都青了", "05-06-001", "卫生健康"),
        ("海淀区青龙桥街道，孩子掉进冰窟窿里了，快来人", "12-09-006", "消防救援"),
    ],
)
def test_an_emergency_is_filed_as_a_call_for_help_and_left_to_somebody(
    dispatcher, text, code, unit
):
    answer = dispatcher.suggest(text)
    demand = answer.demands[0]
    assert answer.gate.kind == "emergency"
    assert demand.categories[0].code == code
    assert demand.request_type.value == "求助"
    assert demand.unit.unit_class == unit
    assert demand.deadline.tier == "2h"
    assert demand.decision != "auto"


def test_nothing_is_dispatched_unseen_when_a_gate_is_raised(dispatcher):
    tickets = [json.loads(line) for line in GOLD.read_text("utf-8").splitlines()]
    answers = list(dispatcher.suggest_many([t["text"] for t in tickets], evidence=False))
    decided = [(a.gate.kind, d.decision) for a in answers for d in a.demands if len(a.demands) == 1]
    assert ("none", "auto") in decided
    assert not [gate for gate, decision in decided if decision == "auto" and gate != "none"]


def test_every_answer_has_a_deadline_and_never_a_community(dispatcher):
    for suggestion in dispatcher.suggest_many(TEXTS):
        for demand in suggestion.demands:
            assert demand.deadline.tier in ("2h", "24h", "7d", "15d")
            assert demand.deadline.basis
            assert "社区" not in demand.unit.name
            assert "村委会" not in demand.unit.name


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "为空"), ("  \n\t", "为空"), ("长" * 100_001, "过长"), ("a\x00b", "二进制")],
)
def test_what_is_no_ticket_is_refused(dispatcher, text, why):
    with pytest.raises(UsageError, match=why):
        dispatcher.suggest(text)


def test_gibberish_gets_low_confidence(dispatcher):
    for text in ("zxcv bnm qwe", "呃呃呃呃呃", "9988776655", "今晚的月亮又圆又亮"):
        answer = dispatcher.suggest(text)
        assert answer.demands[0].decision == "review", text


@pytest.mark.parametrize(
    ("address", "town"),
    [
        ("石景山區魯谷街道", "鲁谷街道"),
        ("朝陽區望京西園四區", "望京街道"),
        ("朝阳区\u200b望京\ud83d街道", "望京街道"),
    ],
)
def test_an_address_is_read_however_it_is_spelled(dispatcher, address, town):
    text = "①楼下摆摊占道"
    answer = dispatcher.suggest(text, address=address).to_dict()
    assert answer["demands"][0]["place"]["town"] == town
    for start, end in spans_of(answer):
        assert 0 <= start <= end <= len(text)


def test_a_lone_surrogate_can_be_written(dispatcher):
    text = "路灯\ud83d不亮"
    answer = dispatcher.suggest(text, id="\udc00", address="在王京地铁站附近\ud83d").to_dict()
    assert json.dumps(answer, ensure_ascii=False).encode()
    assert len(answer["redacted_text"]) == len(text)


def test_ticket_fields_reach_the_answer(dispatcher):
    ticket = Ticket(text="楼下摆摊占道", id="X9", address="朝阳区望京街道", channel="企业热线")
    answer = dispatcher.suggest(ticket)
    assert answer.id == "X9"
    assert answer.flags.enterprise
    assert answer.demands[0].place.district == "朝阳区"
