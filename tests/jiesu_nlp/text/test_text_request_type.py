"""Request types by example; all sentences are made up."""

import pytest

from jiesu_nlp.text.request_type import classify_request_type


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("请问新生儿落户需要什么材料，在哪办？", "咨询"),
        ("我想咨询一下公租房申请条件。", "咨询"),
        ("退休后医保是否可以在外地报销？", "咨询"),
        ("一老一小的医保断交了，可以补缴吗？", "咨询"),
        ("建议在路口增设一处人行横道。", "建议"),
        ("希望夜班公交延长到十二点，增开一班，方便下夜班的人。", "建议"),
        ("举报一家无证诊所，希望严厉查处。", "举报"),
        ("实名举报某饭店偷税漏税，请纪委立案。", "举报"),
        ("投诉物业乱收费，还不给发票。", "投诉"),
        ("楼下KTV半夜扰民，噪音很大，打了几次电话都没人管！", "投诉"),
        ("健身房关门了，不给退款，要求退钱赔偿。", "投诉"),
        ("老人独居，家里水管坏了，请求帮助，请派人维修。", "求助"),
        ("我家停电了，孩子还小，恳请尽快抢修。", "求助"),
        ("路口红绿灯不亮，请尽快维修。", "求助"),
    ],
)
def test_kinds(text, kind):
    guess = classify_request_type(text)
    assert guess.value == kind
    assert guess.confidence > 0.3


def test_complaints_of_the_past_are_no_complaint_of_today():
    text = "多次投诉无果，请问这种情况是否可以申请仲裁，需要什么材料？"
    assert classify_request_type(text).value == "咨询"


def test_without_any_cue_nothing_is_certain():
    for text in ("", "  ", "你好"):
        guess = classify_request_type(text)
        assert guess.confidence < 0.6
        assert guess.evidence == ()


def test_evidence_points_at_the_cue():
    text = "本人建议增设路灯"
    guess = classify_request_type(text)
    assert [text[a:b] for a, b in guess.evidence] == ["建议", "增设"]


def test_an_emergency_is_a_call_for_help_unless_it_says_otherwise():
    text = "楼上往外冒黑烟，一股一股的"
    assert classify_request_type(text).value == "投诉"
    assert classify_request_type(text, emergency=True).value == "求助"
    asked = "请问家里冒烟以后物业费还交不交，咨询一下怎么算"
    assert classify_request_type(asked, emergency=True).value == "咨询"
