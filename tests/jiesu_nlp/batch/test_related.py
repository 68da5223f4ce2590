"""Groups, callers and rises are found where they are, and not where they are not."""

import datetime as dt
import random

from jiesu_nlp.batch.related import near_duplicates, repeated_callers, rising

MONDAY = dt.date(2026, 3, 2)


def test_edited_copies_are_grouped_and_other_tickets_are_not(gold):
    texts = [t["text"] for t in gold]
    copies = [texts[i] + "，请尽快处理" for i in (5, 9)] + [texts[5] + "。望回复"]
    groups = near_duplicates([*texts, *copies])
    assert groups[0] == [5, len(texts), len(texts) + 2]
    assert [9, len(texts) + 1] in groups
    assert near_duplicates([]) == []
    assert near_duplicates(["停", ""]) == []


def test_a_form_letter_sent_a_hundred_times_is_one_group():
    letter = "我们是某小区业主，开发商承诺的学校至今没有建，请政府督促尽快落实并给业主一个答复"
    groups = near_duplicates([f"{letter}{i}" for i in range(100)])
    assert len(groups) == 1
    assert len(groups[0]) == 100


def test_repeated_callers_by_matter():
    found = repeated_callers(["a", "b", "a", None, "a", "b"], ["x", "x", "x", "x", "y", "z"])
    assert found == [("a", 3, "x", 2)]


def test_a_planted_rise_is_found_and_steady_noise_is_not():
    rng = random.Random(3)
    days, places, codes = [], [], []
    for week in range(9):
        for place in range(60):
            for _ in range(rng.randint(2, 8)):
                days.append(MONDAY + dt.timedelta(days=7 * week + rng.randrange(7)))
                places.append(f"街道{place}")
                codes.append("07-01-001")
    assert len(rising(days, places, codes)) <= 1
    week = MONDAY + dt.timedelta(weeks=8)
    days += [week] * 25
    places += ["街道7"] * 25
    codes += ["07-01-001"] * 25
    found = rising(days, places, codes, week=week)
    assert found[0].place == "街道7"
    assert found[0].count >= 27
    assert found[0].q < 0.001


def test_a_short_history_proves_nothing():
    assert rising([MONDAY] * 50, ["街道"] * 50, ["x"] * 50, week=MONDAY) == []
    assert rising([None], ["街道"], ["x"]) == []
