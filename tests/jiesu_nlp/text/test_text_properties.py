"""What must hold for every string, however strange."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jiesu_nlp.text.elements import find_elements
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.text.redact import find_personal_data, redact
from jiesu_nlp.text.request_type import classify_request_type
from jiesu_nlp.text.split import split_demands
from jiesu_nlp.vocabulary import Actor, Owner, RequestType

# What tickets are made of, mixed with what breaks parsers.
PIECES = [
    "物业不管", "另外还要反映", "1、", "2、", "一是", "第二,", "(1)", "①", "。", "，", "！！！", "……",
    "電動車佔道", "嗯", "那个那个", "我叫王小明", "电话", "13800138000", "138 0013 8000",
    "010-65123456", "身份证", "11010519491231002X", "一三八零零一三八零零零", "京A12345", "微信号",
    "abc_12345", "a.b@c.cn", "卡号", "6222021234567890128", "\r\n", "\n", " ", "\u3000", "\t",
    "\u200b", "\ufeff", "\x00", "\x1b", "👍🏽", "👨‍👩‍👧", "e\u0301", "\u0301\u0316", "\ud800", "\udfff",
    "㎡", "ﬁ", "각", "１２３", "https://a.b/c", "每天晚上10点", "楼上邻居", "*", "-", "0", "86", "+",
]  # fmt: skip

any_char = st.characters(codec=None)
texts = st.one_of(
    st.text(st.characters(), max_size=60),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(any_char, max_size=3)), max_size=25).map(
        "".join
    ),
)
numbers = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *"0123456789*- ,.()+/",
                "电话",
                "手机",
                "身份证",
                "卡号",
                "微信",
                "订单号",
                "转",
                "京A",
            ]
        ),
        st.sampled_from(["13800138000", "010", "65123456", "11010519491231002X", "一三八", "零零"]),
    ),
    max_size=30,
).map("".join)

NUMBER_KINDS = {"mobile", "landline", "identity_card", "bank_card", "document", "account", "plate"}


def assert_inside(span, text):
    start, end = span
    assert 0 <= start <= end <= len(text)


@given(texts)
def test_normalised_spans_lie_in_the_original_and_grow(text):
    result = normalise(text)
    size = len(result.text)
    spans = [result.original_span(i, i + 1) for i in range(size)]
    for span in spans:
        assert_inside(span, text)
        assert span[0] < span[1]
    for one, two in pairwise(spans):
        assert one[0] <= two[0]
        assert one[1] <= two[1]
    if size:
        assert result.original_span(0, size) == (spans[0][0], spans[-1][1])
    for i in range(size + 1):
        start, end = result.original_span(i, i)
        assert start == end
        assert_inside((start, end), text)
    assert_inside(result.original_span(-5, size + 5), text)
    if result.offsets is None:
        assert len(result.text) == len(text)
    else:
        assert len(result.offsets) == size + 1


@given(texts)
def test_normal_form_is_clean(text):
    normal = normalise(text).text
    assert normal == normal.strip(" \n")
    assert "  " not in normal
    assert not any("\ud800" <= c <= "\udfff" or (c < " " and c != "\n") for c in normal)
    normal.encode("utf-8")


@given(st.one_of(texts, numbers))
def test_redaction_keeps_the_length_and_only_masks(text):
    found = find_personal_data(text)
    for item in found:
        assert_inside(item.span, text)
        assert item.span[0] < item.span[1]
    for one, two in pairwise(found):
        assert one.span[1] <= two.span[0]
    redacted = redact(text, found)
    assert redacted == redact(text)
    assert len(redacted) == len(text)
    assert all(new == old or new in "*某" for new, old in zip(redacted, text, strict=True))


@given(st.one_of(texts, numbers))
@settings(max_examples=200)
def test_no_number_is_left_after_redaction(text):
    redacted = redact(text)
    assert [x for x in find_personal_data(redacted) if x.kind in NUMBER_KINDS | {"email"}] == []
    assert redact(redacted) == redacted


@given(texts)
def test_demands_cover_the_text_in_order(text):
    spans = split_demands(text)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for one, two in pairwise(spans):
        assert one[0] < one[1] == two[0]


@given(texts)
def test_request_type_and_elements_stay_inside(text):
    guess = classify_request_type(text)
    assert guess.value in set(RequestType)
    assert 0.0 < guess.confidence <= 1.0
    elements = find_elements(text)
    spans = [
        *guess.evidence, *(x.span for x in (*elements.time, *elements.owner, *elements.actor))
    ]  # fmt: skip
    for span in spans:
        assert_inside(span, text)
        assert span[0] < span[1]
    assert {x.value for x in elements.owner} <= set(Owner)
    assert {x.value for x in elements.actor} <= set(Actor)
    assert all(text[slice(*x.span)] == x.value for x in elements.time)


@pytest.mark.parametrize(
    "piece", ["", " ", "\r\n", "，", "1、", "0", "物业", "電", "\ud800", "👍", "嗯", "*"]
)
def test_a_letter_of_ten_thousand_characters(piece):
    text = (piece * 10_000)[:10_000]
    result = normalise(text)
    assert_inside(result.original_span(0, len(result.text)), text)
    assert len(redact(text)) == len(text)
    assert split_demands(text)[-1][1] == len(text)
    classify_request_type(text)
    find_elements(text)
