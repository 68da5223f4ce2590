import pytest

from service.store.export import purge
from service.store.quality import read_quality
from service.store.queries import read_tickets
from service.store.tables import ago

LAMP = "丰台区方庄芳古园一区门口路灯坏了半个月没人修"


def test_the_queue_holds_doubtful_undecided_tickets(running):
    doubtful = running.suggest("那个事情上次反映过了")
    assert doubtful["demands"][0]["decision"] == "review"
    running.settle()
    queue = running.call("GET", "/v1/tickets").json()["tickets"]
    assert [t["id"] for t in queue] == [doubtful["suggestion_id"]]
    running.decide(doubtful, "k")
    assert running.call("GET", "/v1/tickets").json()["tickets"] == []
    assert len(running.call("GET", "/v1/tickets?status=decided").json()["tickets"]) == 1


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
    running.suggest(LAMP, requester="甲")
    running.suggest("丰台区方庄芳古园一区门口的路灯坏了半个月，没人修", requester="乙")
    running.suggest("西城区月坛南街路灯不亮", requester="丙")
    running.settle()
    demand = running.suggest(LAMP)["demands"][0]
    body = {
        "text": LAMP,
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
