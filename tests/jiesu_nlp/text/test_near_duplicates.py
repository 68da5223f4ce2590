"""Repeats are found despite small changes; short texts and kept digits tell texts apart."""

import random

import pytest

from jiesu_nlp.text.near_duplicates import duplicate_groups

CHARACTERS = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"


def sentence(rng: random.Random, length: int = 60) -> str:
    return "".join(rng.choices(CHARACTERS, k=length))


def test_repeats_with_small_changes_are_found_and_others_are_not():
    rng = random.Random(0)
    texts = [sentence(rng) for _ in range(300)]
    edited = []
    for text in texts[:100]:
        letters = list(text)
        letters[rng.randrange(60)] = "换"
        edited.append("您好，" + "".join(letters) + "，工单号20261120。")
    groups = duplicate_groups(texts + edited)
    found = sum(groups[i] == groups[300 + i] for i in range(100))
    assert found >= 90
    assert len(set(groups[:300])) == 300


def test_only_dates_and_numbers_differ():
    a, b = "3月4日晚上8点楼下施工噪音扰民睡不着觉", "11月20日晚上10点楼下施工噪音扰民睡不着觉"
    assert len(set(duplicate_groups([a, b, "公交车不停站"]))) == 2


def test_a_form_letter_sent_thousands_of_times_is_one_group():
    assert len(set(duplicate_groups(["小区停水两天没有人管请尽快解决"] * 3000))) == 1


def test_short_and_empty_texts():
    groups = duplicate_groups(["", "啊", "啊", "1234", "水"])
    assert groups[1] == groups[2] != groups[4]


@pytest.mark.parametrize("digits", [False, True])
def test_texts_of_few_letters_are_alike_only_if_identical(digits):
    texts = ["", "110", "12345", "？？？", "！", "2026-01-02", "3月4日", "3月5日", "水", "停水"]
    assert len(set(duplicate_groups([*texts, *texts], digits=digits))) == len(texts)


def test_numbers_tell_texts_apart_where_they_are_kept():
    a, b = "朝阳区望京西园3号楼电梯坏了没人修", "朝阳区望京西园5号楼电梯坏了没人修"
    assert len(set(duplicate_groups([a, b, a + "。"], threshold=1.0))) == 1
    groups = duplicate_groups([a, b, a + "。"], threshold=1.0, digits=True)
    assert groups[0] == groups[2] != groups[1]
