"""Groups, callers and rises are found where they are, and not where they are not."""

import datetime as dt
import random

import numpy as np
import pytest
from typer.testing import CliRunner

from jiesu_nlp.batch.related import (
    day_of,
    days_of,
    near_duplicates,
    pseudonyms,
    repeated_callers,
    rising,
    same_matters,
)
from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import UsageError

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


def test_another_house_or_number_is_no_copy():
    texts = ["望京西园3号楼电梯坏了没人修", "望京西园5号楼电梯坏了没人修", "110", "12345", "？？？"]
    assert near_duplicates([*texts, texts[0]], 1.0) == [[0, 5]]


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


def test_days_are_read_in_their_usual_forms_and_the_others_counted():
    day = dt.date(2024, 1, 5)
    stamps = [
        "2024-01-05", "2024-01-05T08:00:00+08:00", "2024/1/5 8:00", "2024.1.5", "2024年1月5日 8时",
        "20240105", "20240105080000", day, dt.datetime(2024, 1, 5, 8),
    ]  # fmt: skip
    assert [day_of(s) for s in stamps] == [day] * len(stamps)
    found, unread = days_of([*stamps, None, "", " ", "2024/13/5", "昨天", 45296.33])
    assert found == [day] * len(stamps) + [None] * 6
    assert unread == 3


def test_a_rise_is_found_whatever_the_form_of_the_days():
    stamps = [f"2024/1/{i % 7 + 1} 8:00" for i in range(3)]
    stamps += [f"2024/1/{i % 7 + 8} 9:00" for i in range(50)]
    days, unread = days_of(stamps)
    assert unread == 0
    assert [r.count for r in rising(days, ["街道"] * 53, ["x"] * 53)] == [50]


def test_a_short_history_proves_nothing():
    assert rising([MONDAY] * 50, ["街道"] * 50, ["x"] * 50, week=MONDAY) == []
    assert rising([None], ["街道"], ["x"]) == []


def test_one_matter_at_one_place_is_a_group_whatever_the_words():
    directions = {"水": (1, 0, 0.1), "停水": (1, 0.2, 0), "灯": (0, 1, 0), "路灯": (0.1, 1, 0)}
    texts = ["水", "灯", "停水", "水", "路灯", "水", "?"]
    places = ["甲", "甲", "甲", "乙", "甲", None, "甲"]
    vectors = lambda part: np.array([directions.get(t, (0, 0, 0)) for t in part], np.float32)  # noqa: E731
    assert same_matters(texts, places, vectors) == [[0, 2], [1, 4]]
    assert same_matters([], [], vectors) == []


def test_no_chain_of_small_steps_joins_two_matters():
    turn = [(np.cos(a), np.sin(a)) for a in np.linspace(0, np.pi / 2, 10)]
    texts = [str(i) for i in range(10)]
    vectors = lambda part: np.array([turn[int(t)] for t in part], np.float32)  # noqa: E731
    groups = same_matters(texts, ["甲"] * 10, vectors, 0.9)
    assert not any(0 in g and 9 in g for g in groups)
    assert max(map(len, groups)) < 6


def test_pseudonyms_tell_callers_apart_and_nothing_else():
    found = pseudonyms(["13812345678", None, "13812345678", "13800000000"])
    assert found[0] == found[2] != found[3]
    assert found[1] is None
    assert "138" not in str(found[0])
    assert pseudonyms(["13812345678"])[0] != found[0]


def test_the_report_shows_groups_and_no_caller(run, bundle, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    texts = [
        "朝阳区望京街道望京西园四区停水两天了，没人管",
        "望京西园四区家里自来水断了，打电话都没人接，做不了饭",
        "望京西园四区一直没有水，什么时候来水",
        "丰台区方庄芳古园一区路灯坏了半个月",
    ]
    rows = [
        {
            "text": t,
            "受理时间": f"2026-03-{i + 1:02d} 10:00:00",
            "电话": "13812345678",
            "姓名": "王建国",
            "未填": " ",
            "掩码": "138*",
            "口述时间": "昨天下午" if i else "2026-03-01",
        }
        for i, t in enumerate([*texts, *texts[:1]])
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out")
    page = tmp_path / "r.html"
    common = ["related", str(tmp_path / "out"), "-o", str(page), "--bundle", str(bundle.path)]
    result = CliRunner().invoke(app, [*common, "--caller", "电话", "--same", "0.3"])
    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert "13812345678" not in html
    assert "<td>P" in html
    assert "望京西园四区" in html
    assert "2026-03-01 — 2026-03-05" in html
    # A name by itself does not look like one: no caller is shown as he is.
    assert CliRunner().invoke(app, [*common, "--caller", "姓名"]).exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "王建国" not in html
    assert "<td>P" in html
    assert CliRunner().invoke(app, [*common, "--caller", "未填"]).exit_code == 0
    assert "<td>P" not in page.read_text(encoding="utf-8")
    told = CliRunner().invoke(app, [*common, "--time", "口述时间"])
    assert f"{len(rows) - 1} 件的受理时间看不懂" in told.output
    masked = CliRunner().invoke(app, [*common, "--caller", "掩码"])
    assert isinstance(masked.exception, UsageError)
