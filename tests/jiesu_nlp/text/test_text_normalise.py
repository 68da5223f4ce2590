"""Normal form by example; all sentences are made up."""

import pytest

from jiesu_nlp.text.hanzi import SIMPLIFIED, TRADITIONAL
from jiesu_nlp.text.normalise import normalise


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("路灯坏了", "路灯坏了"),
        ("路燈壞了，請維修", "路灯坏了,请维修"),
        ("乾隆年間的碑", "乾隆年间的碑"),
        ("不乾净", "不干净"),
        ("电话：１３８００１３８０００", "电话:13800138000"),
        ("水费３．５元", "水费3.5元"),
        ("太吵了！！！！", "太吵了!"),
        ("怎么办？？！", "怎么办?"),
        ("等了很久……没人来", "等了很久。没人来"),
        ("停水了。。。", "停水了。"),
        ("面积12㎡", "面积12m2"),
        ("温度16℃", "温度16°C"),
        ("①漏水②停电", "(1)漏水(2)停电"),
        ("谢谢👍🏽", "谢谢"),
        ("见https://example.cn/a?b=1，谢谢", "见 ,谢谢"),
        ("嗯，我想问一下", "我想问一下"),
        ("那个那个，电梯坏了", "那个,电梯坏了"),
        ("就是就是物业不来", "就是物业不来"),
        ("我我我家停电", "我家停电"),
        ("啊，井盖没了", "井盖没了"),
        ("第一行\r\n\r\n第二行", "第一行\n第二行"),
        ("a\u200bb\ufeff", "ab"),
        ("坏\x00了\ud800吧", "坏 了 吧"),
        ("cafe\u0301", "café"),
        ("===", "="),
    ],
)
def test_normal_form(raw, normal):
    assert normalise(raw).text == normal


@pytest.mark.parametrize(
    "text",
    ["金额不对,额度也不对", "看看那个路口", "天天如此", "这个月的电费", "啊呀", "2-3天", "张某某"],
)
def test_ordinary_words_are_left_alone(text):
    assert normalise(text).text == text


def test_one_to_one_replacements_need_no_offsets():
    result = normalise("電梯壞了，沒人修")
    assert result.offsets is None
    assert result.original_span(0, 2) == (0, 2)


def test_spans_lead_back_past_what_was_left_out():
    raw = "嗯嗯，小区👍里\u200b的  电梯①坏了"
    result = normalise(raw)
    for word in ("小区", "电梯", "坏了"):
        start = result.text.index(word)
        begin, end = result.original_span(start, start + len(word))
        assert raw[begin:end] == word
    start = result.text.index("(1)")
    assert raw[slice(*result.original_span(start, start + 3))] == "①"


def test_the_span_ends_with_its_last_character_not_before_the_next():
    raw = "停水呃呃呃停电"
    result = normalise(raw)
    assert raw[slice(*result.original_span(0, 2))] == "停水"
    assert raw[slice(*result.original_span(2, 4))] == "停电"


def test_the_table_is_one_to_one_and_ends_in_simplified():
    assert len(TRADITIONAL) == len(SIMPLIFIED)
    assert not set(TRADITIONAL) & set(SIMPLIFIED)


def test_the_table_agrees_with_opencc():
    opencc = pytest.importorskip("opencc")
    convert = opencc.OpenCC("t2s").convert
    wrong = [a for a, b in zip(TRADITIONAL, SIMPLIFIED, strict=True) if convert(a) != b]
    assert len(wrong) < 20  # releases of OpenCC differ in a few rare characters
