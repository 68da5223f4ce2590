"""Decisions: idempotent, checked, exported as training reads them; texts are stored redacted."""

import io
import json

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from jiesu_nlp.errors import UsageError
from service.store.export import COLUMNS, stamp_of
from service.store.tables import decision, stamp, suggestion
from training.labels import LabelBook
from training.tickets import LabelledTicket, read_tickets

TEXT = "方庄芳古园一区门口路灯坏了半个月没人修"


def test_a_repeated_decision_is_recorded_once(running):
    made = running.suggest(TEXT)
    first = running.decide(made, "k1")
    again = running.decide(made, "k1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = running.decide(made, "k1", kind="returned", reason="不归我们管")
    assert other.status_code == 409
    assert len(running.call("GET", "/v1/decisions").json()["decisions"]) == 1


def test_keys_of_two_clients_do_not_meet(running):
    made = running.suggest(TEXT)
    assert (
        running.decide(made, "same").json()["id"]
        != running.decide(made, "same", role="admin").json()["id"]
    )


def test_two_operators_one_ticket(running):
    made = running.suggest(TEXT)
    assert running.decide(made, "a", unless_decided=True).status_code == 201
    second = running.decide(made, "b", role="admin", unless_decided=True)
    assert second.status_code == 409
    assert "他人" in second.json()["detail"]


def test_the_rank_of_the_choice_is_kept(running):
    made = running.suggest(TEXT)
    third = made["demands"][0]["categories"][2]["code"]
    running.decide(made, "a", kind="changed", code=third)
    row = running.call("GET", "/v1/decisions").json()["decisions"][0]
    assert (row["rank"], row["code"]) == (3, third)
    assert row["suggested_code"] == made["demands"][0]["categories"][0]["code"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"code": "99-99-999"}, 422, "没有编码"),
        ({"unit_code": "NONE"}, 422, "没有编码"),
        ({"kind": "changed"}, 422, "改派"),
        ({"kind": "returned"}, 422, "理由"),
        ({"kind": "returned", "reason": "  "}, 422, "理由"),
        ({"kind": "deleted"}, 422, "可选值"),
        ({"demand": 7}, 422, "诉求"),
        ({"demand": -1}, 422, "太小"),
        ({"suggestion_id": "0" * 32}, 404, "没有这条"),
        ({"suggestion_id": "' OR 1=1 --"}, 422, ""),
        ({"surprise": 1}, 422, "不认识"),
    ],
)
def test_bad_decisions(running, body, status, words):
    answer = running.decide(running.suggest(TEXT), "k", **body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert running.call("GET", "/v1/decisions").json()["decisions"] == []


def test_a_retired_code_names_its_successor(running, loaded):
    book = loaded.dispatcher.catalogue
    retired = next((r for r in book.retired if book.successors(r.code)), None)
    if retired is None:
        pytest.skip("目录里还没有退役编码")
    answer = running.decide(running.suggest(TEXT), "k", kind="changed", code=retired.code)
    assert answer.status_code == 422
    assert answer.json()["successors"] == list(book.successors(retired.code))


def test_a_decision_needs_a_key(running):
    made = running.suggest(TEXT)
    body = {"suggestion_id": made["suggestion_id"], "kind": "accepted"}
    assert running.call("POST", "/v1/decisions", json=body).status_code == 422


def test_records_cannot_be_rewritten(running):
    running.decide(running.suggest(TEXT), "k")
    running.settle()
    for table in (suggestion, decision):
        with pytest.raises(DBAPIError, match="append-only"), running.service.engine.begin() as c:
            c.execute(update(table).values(created_at=stamp()))


def test_personal_data_never_reaches_the_store(running):
    secrets = ("13800138000", "110101199003070038", "王建国")
    made = running.suggest(
        "我叫王建国，电话13800138000，身份证110101199003070038，方庄芳古园一区路灯不亮",
        requester="13800138000",
        address="芳古园一区，联系电话13800138000",
    )
    running.decide(made, "k", kind="returned", reason="请联系 13800138000 核实")
    running.settle()
    with running.service.engine.connect() as c:
        everything = " ".join(
            str(list(row))
            for t in ("suggestion", "decision", "audit")
            for row in c.execute(text(f"SELECT * FROM {t}"))
        )
    assert "路灯" in everything
    for secret in secrets:
        assert secret not in everything


def test_the_export_is_what_training_reads(running, loaded, tmp_path):
    accepted = running.suggest("小区门口的井盖丢了，晚上很危险", created_at="2026-11-03T08:00:00")
    running.decide(accepted, "1")
    changed = running.suggest(TEXT)
    code = changed["demands"][0]["categories"][1]["code"]
    running.decide(changed, "2")
    running.decide(changed, "3", kind="changed", code=code, unit="丰台区城市管理委员会")
    returned = running.suggest("楼上装修六点就开始砸墙")
    running.decide(returned, "4")
    running.decide(returned, "5", kind="returned", reason="不属于本街道")
    data = running.call("GET", "/v1/decisions?format=parquet", role="engineer")
    table = pq.read_table(io.BytesIO(data.content))
    assert tuple(table.column_names) == COLUMNS
    (tmp_path / "d.parquet").write_bytes(data.content)
    (tmp_path / "d.csv").write_bytes(
        running.call("GET", "/v1/decisions?format=csv", role="engineer").content
    )
    for name in ("d.parquet", "d.csv"):
        rows = list(read_tickets([tmp_path / name], LabelBook(loaded.dispatcher.catalogue)))
        assert all(isinstance(r, LabelledTicket) for r in rows)
        assert {(r.text, r.code) for r in rows} == {
            ("小区门口的井盖丢了，晚上很危险", accepted["demands"][0]["categories"][0]["code"]),
            (TEXT, code),
        }
        by_text = {r.text: r for r in rows}
        assert by_text[TEXT].units == ("丰台区城市管理委员会",)
        assert by_text["小区门口的井盖丢了，晚上很危险"].created_at == "2026-11-03T08:00:00"


def test_each_demand_is_exported_with_its_own_words(running):
    made = running.suggest(
        "反映两个问题：1、请问住房公积金怎么提取，需要带什么材料？2、楼上装修每天早上六点就开始砸墙，噪音太大。"
    )
    assert len(made["demands"]) == 2
    for i in range(2):
        running.decide(made, str(i), demand=i)
    lines = running.call("GET", "/v1/decisions?format=csv", role="engineer").text.splitlines()[1:]
    assert len(lines) == 2
    assert "砸墙" not in lines[0]
    assert "砸墙" in lines[1]


@pytest.mark.parametrize(
    "hostile", ["=cmd|' /C calc'!A0 路灯不亮", "+1 路灯", "-1 路灯", "@SUM(1) 路灯"]
)
def test_formulas_are_harmless_in_csv_and_exact_in_parquet(running, hostile):
    running.decide(running.suggest(hostile), "k")
    csv_text = running.call("GET", "/v1/decisions?format=csv", role="engineer").text
    assert csv_text.splitlines()[1].lstrip('"').startswith("'")
    data = running.call("GET", "/v1/decisions?format=parquet", role="engineer").content
    assert pq.read_table(io.BytesIO(data))["text"][0].as_py() == hostile


def test_the_pull_endpoint_pages_without_gap_or_repeat(running):
    made = [running.suggest(f"第 {i} 号路灯不亮") for i in range(7)]
    for i, one in enumerate(made):
        running.decide(one, str(i))
    seen, after = [], None
    while True:
        params = {"limit": 3, **({"after": after} if after else {})}
        page = running.call("GET", "/v1/decisions", params=params).json()
        seen += [d["suggestion_id"] for d in page["decisions"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(m["suggestion_id"] for m in made)


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2000-01-01", 1),
        ("2000-01-01T08:00:00", 1),
        ("2000-01-01 08:00", 1),
        ("9000-01-01T00:00:00+00:00", 0),
    ],
)
def test_an_export_since_a_day(running, since, count):
    running.decide(running.suggest(TEXT), "k")
    params = {"format": "csv", "since": since}
    answer = running.call("GET", "/v1/decisions", role="engineer", params=params)
    assert len(answer.text.splitlines()) == 1 + count


@pytest.mark.parametrize(
    ("received", "since", "count"),
    [
        ("2024-01-05", "2026-11-01", 0),
        ("2024年1月5日", "2026-11-01", 0),
        ("2024-01-05", "2024-01-05", 1),
        ("2024/1/5 9:30", "2024-01-05", 1),
        ("2024/1/5 9:30", "2024-01-06", 0),
        # The time of day cannot be read: rather twice than never.
        ("2024/1/5 9:30", "2024-01-05T20:00:00", 1),
        ("2024-01-05T09:30:00", "2024-01-05T20:00:00", 0),
        ("2024-01-05 20:30:00", "2024-01-05T20:00:00", 1),
        # The 6th in Beijing.
        ("2024-01-05T20:00:00+00:00", "2024-01-06", 1),
        ("2024-01-06T03:00:00+14:00", "2024-01-06", 0),
        # In the future: what is filtered is what the export shows.
        ("2098-01-05", "2098-01-01", 1),
        # No time at all: when it was stored counts.
        ("1763049600", "2026-01-01", 1),
        ("昨天", "2098-01-01", 0),
        ("", "0001-01-01", 1),
    ],
)
def test_an_export_since_goes_by_the_time_of_receipt(running, received, since, count):
    running.decide(running.suggest(TEXT, created_at=received), "k")
    params = {"format": "csv", "since": since}
    answer = running.call("GET", "/v1/decisions", role="engineer", params=params)
    assert len(answer.text.splitlines()) == 1 + count


@pytest.mark.parametrize("since", ["2026/11/01", "2026-1-1", "昨天", "", "2026-02-30"])
def test_a_day_that_is_none_is_refused(running, since):
    params = {"format": "csv", "since": since}
    answer = running.call("GET", "/v1/decisions", role="engineer", params=params)
    assert answer.status_code == 422
    assert "2026-11-01" in answer.json()["detail"]


def test_a_moment_is_read_as_beijing_time_unless_it_says_otherwise():
    assert stamp_of("2026-11-01") == "2026-11-01T00:00:00.000+08:00"
    assert stamp_of("2026-11-01T20:00:00+00:00") == "2026-11-02T04:00:00.000+08:00"
    assert stamp_of("0999-01-01") < stamp()
    with pytest.raises(UsageError, match="看不懂"):
        stamp_of("0001-01-01T00:00:00+14:00")


def test_exports_are_audited(running):
    running.call("GET", "/v1/decisions?format=csv", role="engineer")
    running.settle()
    lines = running.call("GET", "/v1/audit", role="admin").json()["audit"]
    assert any(a["action"] == "export" and a["actor"] == "key:test-engineer" for a in lines)


def test_answers_are_stored_whole(running):
    made = running.suggest(TEXT, id="工单-1")
    running.settle()
    found = running.call("GET", f"/v1/suggestions/{made['suggestion_id']}").json()
    assert found["answer"] == made
    with running.service.engine.connect() as c:
        row = c.execute(select(suggestion)).one()
    assert row.model == made["versions"]["model"]
    assert json.loads(row.answer)["id"] == "工单-1"
