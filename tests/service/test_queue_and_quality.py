import pytest
from sqlalchemy import insert

from service.console.engineering import alarm_of
from service.store.export import purge
from service.store.quality import at_least, monday, read_hot, read_quality
from service.store.queries import read_tickets
from service.store.tables import ago, decision, new_id, suggestion

LAMP = "丰台区方庄芳古园一区门口路灯坏了半个月没人修"


def test_the_queue_holds_doubtful_undecided_tickets(running):
    doubtful = running.suggest("我家那个又不行了")
    assert doubtful["demands"][0]["decision"] == "review"
    running.settle()
    queue = running.call("GET", "/v1/tickets").json()["tickets"]
    assert [t["id"] for t in queue] == [doubtful["suggestion_id"]]
    running.decide(doubtful, "k")
    assert running.call("GET", "/v1/tickets").json()["tickets"] == []
    assert len(running.call("GET", "/v1/tickets?status=decided").json()["tickets"]) == 1


def test_a_ticket_stays_in_the_queue_until_every_demand_is_decided(accounts):
    made = accounts.suggest(
        "反映两个问题：1、请问住房公积金怎么提取，需要带什么材料？2、楼上装修每天早上六点就开始砸墙，噪音太大。"
    )
    assert len(made["demands"]) == 2
    accounts.settle()

    def where():
        found = {}
        for status in ("open", "decided"):
            for row in accounts.call("GET", f"/v1/tickets?status={status}").json()["tickets"]:
                found[status] = (row["decided"], row["decided_demands"], row["demands"])
        return found

    assert where() == {"open": (False, 0, 2)}
    # The same demand twice is one, and a demand that the ticket has not is none.
    for key in ("a", "b"):
        accounts.decide(made, key, demand=1)
    _store(
        accounts,
        [_decided(ago(0), said=0.5, kept=True, suggestion_id=made["suggestion_id"], demand=7)],
    )
    assert where() == {"open": (False, 1, 2)}
    accounts.log_in("operator")
    assert "已处理 1/2" in accounts.client.get("/queue?status=open").text
    accounts.decide(made, "c", demand=0, kind="returned", reason="不归我们管")
    assert where() == {"decided": (True, 2, 2)}


def test_the_queue_passes_over_decided_tickets_without_reading_them(tmp_path):
    """Rows are long; the plan must find all it asks in the indexes."""
    from sqlalchemy import event

    from service.store.engine import migrate, open_engine

    engine = open_engine(f"sqlite:///{tmp_path / 's.db'}")
    migrate(engine)
    asked = []
    event.listen(engine, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
    for status in ("review", "open"):
        read_tickets(engine, status=status)
        sql, parameters = asked[-1]
        with engine.connect() as c:
            plan = c.exec_driver_sql("EXPLAIN QUERY PLAN " + sql, parameters).all()
        text = " ".join(row[3] for row in plan)
        assert "USE TEMP B-TREE" not in text, text
        assert "COVERING INDEX decision_by_suggestion" in text, text
        assert "suggestion_by_" in text, text


def test_the_queue_pages_and_searches(running):
    for i in range(5):
        running.suggest(f"第 {i} 件：路灯不亮 100%_的", id=f"N-{i}")
    running.settle()
    first = running.call("GET", "/v1/tickets?status=all&limit=2").json()
    second = running.call("GET", f"/v1/tickets?status=all&limit=2&before={first['next']}").json()
    assert [t["ticket_id"] for t in first["tickets"] + second["tickets"]] == [
        "N-4",
        "N-3",
        "N-2",
        "N-1",
    ]
    for q, count in (
        ("N-3", 1),
        ("第 2 件", 1),
        ("100%_", 5),
        ("%", 5),
        ("100_", 0),
        ("' OR '1'='1", 0),
    ):
        found = running.call("GET", "/v1/tickets", params={"status": "all", "q": q}).json()
        assert len(found["tickets"]) == count, q


def test_probable_duplicates_are_told_apart_from_similar_ones(running):
    # The quickly trained model is sure of the leaf of each: it is the likeness that is tested.
    lamp = "丰台区蒲方路路灯不亮"
    running.suggest(lamp, requester="甲")
    running.suggest("丰台区方庄街道蒲方路路灯不亮", requester="乙")
    running.suggest("西城区月坛南街路灯不亮", requester="丙")
    running.settle()
    demand = running.suggest(lamp)["demands"][0]
    body = {
        "text": lamp,
        "code": demand["categories"][0]["code"],
        "requester": "甲",
        "district": demand["place"]["district"],
        "town": demand["place"]["town"],
    }
    found = running.call("POST", "/v1/alike", json=body).json()
    why = [d["why"] for d in found["duplicates"]]
    assert any("同一来电人" in w for w in why)
    assert any("同一街镇" in w for w in why)
    assert "月坛" not in str(found["duplicates"])


def test_quality_counts_what_was_decided(running):
    made = [running.suggest(f"{i} 号楼门口路灯不亮，丰台区方庄芳古园一区") for i in range(10)]
    codes = [c["code"] for c in made[0]["demands"][0]["categories"]]
    for i in range(6):
        running.decide(made[i], f"a{i}")
    running.decide(
        made[6], "c", kind="changed", code=made[6]["demands"][0]["categories"][1]["code"]
    )
    outside = "23-01-001"
    assert outside not in codes
    running.decide(made[7], "o", kind="changed", code=outside, unit="某单位")
    running.decide(made[8], "r", kind="returned", reason="不归我们管")
    q = read_quality(running.service.engine)
    assert (q.suggestions, q.decided) == (10, 9)
    assert q.accepted1 == pytest.approx(6 / 8)
    assert q.accepted3 == pytest.approx(7 / 8)
    assert q.unit_kept == pytest.approx(7 / 8)
    assert q.returned == pytest.approx(1 / 9)
    assert sum(b["count"] for b in q.calibration) == 8
    assert {c["to"] for c in q.confusions} >= {outside}
    assert sum(r["decided"] for r in q.by_district) == 9
    assert sum(h["week"] for h in q.hot) == 10


def test_an_empty_store_has_no_rates(running):
    q = read_quality(running.service.engine)
    assert (q.decided, q.accepted1, q.auto_precision, q.by_day) == (0, None, None, [])


def test_purge_keeps_labels_unless_told(running):
    kept, gone = running.suggest(LAMP), running.suggest("楼上装修噪音")
    running.decide(kept, "k")
    running.settle()
    engine = running.service.engine
    assert purge(engine, ago(1)) == {"shadow": 0, "suggestion": 0}
    assert purge(engine, ago(-1))["suggestion"] == 1
    assert [t["id"] for t in read_tickets(engine, status="all")] == [kept["suggestion_id"]]
    assert purge(engine, ago(-1), with_decisions=True)["decision"] == 1
    assert read_tickets(engine, status="all") == []
    assert gone["suggestion_id"]


def _decided(at, *, said, kept, kind="accepted", rank=1, **values):
    return {
        "id": new_id(),
        "created_at": at,
        "suggestion_id": new_id(),
        "demand": 0,
        "kind": kind,
        "code": "09-02-003",
        "unit_code": None,
        "unit": "某街道" if kept else "另一单位",
        "reason": None,
        "actor": "user:a",
        "suggested_code": "09-02-003",
        "suggested_unit": "某街道",
        "district": "朝阳区",
        "model": "m1",
        "confidence": said,
        "advice": "auto",
        "rank": rank,
        "digest": "d",
        **values,
    }


def _store(running, rows, table=decision):
    with running.service.engine.begin() as c:
        c.execute(insert(table), rows)


@pytest.mark.parametrize(
    ("said", "kept", "alarm", "words"),
    [
        (0.95, 70, "too-sure", "把握偏高"),
        (0.95, 95, None, "把握可信"),
        (0.70, 95, "too-modest", "把握偏低"),
    ],
)
def test_calibration_drift_raises_an_alarm_in_words(running, said, kept, alarm, words):
    at = ago(0.01)
    _store(running, [_decided(at, said=said, kept=i < kept) for i in range(100)])
    q = read_quality(running.service.engine)
    (week,) = q.drift
    assert (week["count"], week["alarm"]) == (100, alarm)
    assert week["said"] == pytest.approx(said)
    assert week["interval"][0] < week["was"] == kept / 100 < week["interval"][1]
    _, title, told = alarm_of(q)
    assert words in title
    assert f"{kept}%" in told


def test_few_decisions_raise_no_alarm(running):
    _store(running, [_decided(ago(0.01), said=0.95, kept=False) for _ in range(10)])
    q = read_quality(running.service.engine)
    assert q.drift[0]["alarm"] is None
    assert "看不出" in alarm_of(q)[1]


def test_coverage_at_a_precision(running):
    at = ago(0.01)
    sure = [_decided(at, said=0.97, kept=i < 59) for i in range(60)]
    unsure = [_decided(at, said=0.55, kept=i < 20) for i in range(40)]
    _store(running, sure + unsure)
    q = read_quality(running.service.engine)
    at95, at98 = q.coverage
    assert (at95["precision"], at95["share"], at95["from"]) == (0.95, 0.6, 0.97)
    assert at98["share"] == 0.6
    assert q.curve[-1]["precision"] == pytest.approx(0.79)
    assert q.auto_stated == pytest.approx(0.6 * 0.97 + 0.4 * 0.55)


def test_only_the_last_decision_about_a_demand_counts(running):
    first = _decided(ago(2), said=0.9, kept=True)
    later = {**_decided(ago(1), said=0.9, kept=True, kind="returned")}
    later["suggestion_id"] = first["suggestion_id"]
    _store(running, [first, later])
    q = read_quality(running.service.engine)
    assert (q.decided, q.returned, q.accepted1) == (1, 1.0, None)


@pytest.mark.parametrize("days", [30, 90])
def test_rates_over_time_by_class_unit_district_and_model(running, days):
    rows = [_decided(ago(d), said=0.9, kept=True) for d in range(20)]
    rows += [
        _decided(ago(d), said=0.9, kept=False, rank=3, suggested_code="17-01-001", model="m2")
        for d in range(10)
    ]
    _store(running, rows)
    for by, names in (
        ("class", ["09", "17"]),
        ("unit", ["某街道"]),
        ("district", ["朝阳区"]),
        ("model", ["m1", "m2"]),
    ):
        answer = running.call("GET", f"/v1/quality/trend?by={by}&days={days}", role="engineer")
        trend = answer.json()
        assert [s["name"] for s in trend["series"]] == names
        assert sum(p["decided"] for s in trend["series"] for p in s["points"]) == 30
        assert all(len(s["points"]) == len(trend["times"]) for s in trend["series"])
    second = trend["series"][1]["points"][-1]
    assert (second["accepted1"], second["accepted3"], second["unit_kept"]) == (0.0, 1.0, 0.0)
    assert len(trend["times"]) == (
        20 if days == 30 else len({monday(ago(d)[:10]) for d in range(20)})
    )
    assert running.call("GET", "/v1/quality/trend?by=x", role="engineer").status_code == 422


def _ticket(code, days_ago, town="望京街道", requester="r"):
    return {
        "id": new_id(),
        "created_at": ago(days_ago),
        "requester": requester,
        "text": "路灯不亮",
        "actor": "key:a",
        "source": "api",
        "model": "m",
        "catalogue": "c",
        "rules": "r",
        "places": "p",
        "code": code,
        "unit": "某街道",
        "district": "朝阳区",
        "town": town,
        "gate": "none",
        "confidence": 0.9,
        "advice": "auto",
        "elapsed_ms": 1.0,
        "answer": "{}",
    }


def test_a_matter_rises_only_beyond_chance(running):
    steady = [_ticket("09-01-001", d % 28, requester=str(d)) for d in range(84)]
    burst = [_ticket("09-02-003", 20)] + [
        _ticket("09-02-003", d % 7, "酒仙桥街道") for d in range(12)
    ]
    chance = [_ticket("17-01-001", 1), _ticket("17-01-001", 2), _ticket("17-01-001", 12)]
    _store(running, steady + burst + chance, suggestion)
    found = {h["code"]: h for h in read_hot(running.service.engine)}
    assert [c for c, h in found.items() if h["rising"]] == ["09-02-003"]
    assert found["09-02-003"]["chance"] < 0.001
    assert found["09-01-001"]["week"] == pytest.approx(21, abs=3)
    assert found["09-01-001"]["callers"] == 84
    assert found["17-01-001"]["chance"] is None
    towns = running.call("GET", "/v1/quality/hot?place=town", role="engineer").json()["hot"]
    assert (towns[0]["town"], towns[0]["rising"]) == ("酒仙桥街道", True)


def test_a_busy_week_alone_is_no_rise(running):
    """All matters three times as frequent as before: nothing rises beside the others."""
    rows = [_ticket(f"09-01-{c:03d}", d % 7) for c in range(1, 11) for d in range(9)]
    rows += [_ticket(f"09-01-{c:03d}", 10 + d) for c in range(1, 11) for d in range(3)]
    _store(running, rows, suggestion)
    assert not any(h["rising"] for h in read_hot(running.service.engine))


@pytest.mark.parametrize(
    ("hits", "tries", "p"), [(0, 5, 0.3), (3, 10, 0.25), (10, 10, 0.5), (400, 900, 0.4)]
)
def test_the_binomial_tail_is_exact(hits, tries, p):
    from scipy.stats import binom

    assert at_least(hits, tries, p) == pytest.approx(binom.sf(hits - 1, tries, p), rel=1e-9)
