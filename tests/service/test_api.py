"""The HTTP contract: the library's own object, errors as RFC 9457, hostile input."""

import json
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from sqlalchemy import select

from jiesu_nlp.schema import json_schema
from jiesu_nlp.ticket import Ticket
from service.access import Role
from service.app import create_app
from service.records import fingerprint
from service.store.tables import suggestion

TEXT = "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开"


def test_the_answer_is_the_library_s_object(running, dispatcher):
    answer = running.suggest(TEXT, id="T1")
    assert answer.pop("suggestion_id")
    jsonschema.validate(answer, json_schema())
    expected = dispatcher.suggest(TEXT, id="T1").to_dict()
    for value in (answer, expected):
        value.pop("elapsed_ms")
    assert answer == json.loads(json.dumps(expected))


def test_a_preview_is_not_stored(running):
    answer = running.call("POST", "/v1/suggestions?preview=true", json={"text": TEXT}).json()
    assert answer["suggestion_id"] is None
    running.settle()
    assert running.call("GET", "/v1/tickets?status=all").json()["tickets"] == []


def test_batch_keeps_order_and_is_bounded(running):
    tickets = [{"text": f"第 {i} 个路灯不亮", "id": str(i)} for i in range(30)]
    answer = running.call("POST", "/v1/suggestions:batch", json={"tickets": tickets}).json()
    assert [s["id"] for s in answer["suggestions"]] == [str(i) for i in range(30)]
    too_many = running.call(
        "POST", "/v1/suggestions:batch", json={"tickets": [{"text": "x"}] * 501}
    )
    assert too_many.status_code == 422
    assert "500" in too_many.json()["detail"]


def test_one_idempotency_key_one_suggestion(running):
    first = running.call("POST", "/v1/suggestions", key="k", json={"text": TEXT}).json()
    running.settle()
    again = running.call("POST", "/v1/suggestions", key="k", json={"text": TEXT}).json()
    assert again == first
    assert len(running.call("GET", "/v1/tickets?status=all").json()["tickets"]) == 1


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    "other", [{"text": "小区停水两天了"}, {"text": TEXT, "id": "2"}, {"text": TEXT * 20}]
)
def test_another_ticket_under_the_same_key_is_refused(running, other, stored, monkeypatch):
    if not stored:
        # It is on its way: neither the store nor the spool has it yet.
        monkeypatch.setattr(running.service.writer, "hand_over", lambda *_: True)
    first = running.call("POST", "/v1/suggestions", key="k", json={"text": TEXT, "id": "1"}).json()
    if stored:
        running.settle()
    refused = running.call("POST", "/v1/suggestions", key="k", json=other)
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("key-reused")
    assert "换一个键" in refused.json()["detail"]
    again = running.call("POST", "/v1/suggestions", key="k", json={"text": TEXT, "id": "1"}).json()
    assert again["suggestion_id"] == first["suggestion_id"]
    assert again["redacted_text"] == first["redacted_text"]
    # Another client's key of that name is another key.
    theirs = running.call("POST", "/v1/suggestions", role="admin", key="k", json=other)
    assert theirs.status_code == 200


def test_of_two_tickets_at_once_under_one_key_one_is_answered(running):
    def ask(text):
        return running.call("POST", "/v1/suggestions", key="k", json={"text": text}).status_code

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(ask, [TEXT, "小区停水两天了", TEXT, "小区停水两天了"]))
    assert sorted(codes) == [200, 200, 409, 409]
    running.settle()
    assert len(running.call("GET", "/v1/tickets?status=all").json()["tickets"]) == 1


def test_the_digest_of_what_was_asked_tells_nothing(running):
    running.call("POST", "/v1/suggestions", key="k", json={"text": TEXT})
    running.suggest(TEXT)
    running.settle()
    with running.service.engine.connect() as c:
        digests = set(c.execute(select(suggestion.c.digest)).scalars())
    assert None in digests
    (keyed,) = digests - {None}
    assert keyed == fingerprint(running.service.settings.secret, Ticket(TEXT))
    assert keyed != fingerprint("another secret", Ticket(TEXT))
    listed = running.call("GET", "/v1/tickets?status=all").text
    events = running.call("GET", "/v1/events").text
    assert keyed not in listed + events


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[1, 2", 400),
        ('{"text": "路灯不亮"}'.encode("gb18030"), 400),
        (b'"text"', 422),
        (b"{}", 422),
        (b'{"text": ""}', 422),
        (b'{"text": "  \\n "}', 422),
        (b'{"text": 5}', 422),
        (b'{"text": "a\\u0000b"}', 422),
        (b'{"text": "\\ud800"}', 422),
        (b'{"text": "ok", "id": ["no"]}', 422),
        (b'{"text": "' + b"a" * 100_001 + b'"}', 422),
        (b"[" * 100_000, 400),
    ],
)
def test_bad_bodies_get_a_chinese_problem(running, content, status):
    answer = running.call(
        "POST", "/v1/suggestions", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:jiesu:problem:")
    assert any("一" <= ch <= "鿿" for ch in body["detail"])
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused(running, chunked):
    data = b'{"text": "' + b"a" * (5 * 1024 * 1024) + b'"}'
    content = iter([data[: 1 << 20]] * 6) if chunked else data
    answer = running.call(
        "POST", "/v1/suggestions", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert "MiB" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/healthz", 405)]
)
def test_unknown_addresses(running, method, path, status):
    answer = running.call(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_health_ready_metrics_need_no_key(running):
    assert running.client.get("/healthz").json() == {"status": "ok"}
    ready = running.client.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["store"] == "ok"
    running.suggest(TEXT)
    metrics = running.client.get("/metrics").text
    assert 'jiesu_requests_total{route="/v1/suggestions",status="200"} 1.0' in metrics


def test_overload_is_refused_with_retry_after(running):
    running.service.in_flight = running.service.settings.most_in_flight
    answer = running.call("POST", "/v1/suggestions", json={"text": TEXT})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    running.service.in_flight = 0
    assert running.suggest(TEXT)


def test_each_key_has_its_rate(running):
    running.service.buckets.rate, running.service.buckets.burst = 0.001, 3
    codes = [running.call("GET", "/v1/catalogue").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert running.call("GET", "/v1/catalogue", role="admin").status_code == 200


def test_openapi_has_chinese_examples_and_the_answer_s_shape(running):
    document = running.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert "望京" in json.dumps(schemas["TicketBody"], ensure_ascii=False)
    assert "suggestion_id" in schemas["Suggestion"]["properties"]
    assert "#/$defs/" not in json.dumps(document)
    post = document["paths"]["/v1/suggestions"]["post"]
    assert post["responses"]["default"]["content"].keys() == {"application/problem+json"}


def test_lookups(running):
    found = running.call("GET", "/v1/catalogue/search", params={"q": "流动商贩"}).json()["leaves"]
    code = found[0]["code"]
    assert "流动商贩" in found[0]["path"][2]
    leaf = running.call("GET", f"/v1/catalogue/{code}").json()
    assert leaf["says"]
    assert leaf["definition"]
    group = running.call("GET", f"/v1/catalogue/{code[:5]}").json()
    assert code in [item["code"] for item in group["leaves"]]
    by_meaning = running.call("GET", "/v1/catalogue/search", params={"q": "路灯坏了没人修"}).json()
    assert any("路灯" in item["path"][2] for item in by_meaning["leaves"])
    assert running.call("GET", "/v1/catalogue/99-99-999").status_code == 404
    unit = running.call("GET", "/v1/units", params={"q": "望京街道"}).json()["units"][0]
    assert unit["name"] == "朝阳区望京街道办事处"
    assert running.call("GET", f"/v1/units/{unit['code']}").json() == unit
    place = running.call("POST", "/v1/places/lookup", json={"text": TEXT}).json()["place"]
    assert place["district"] == "朝阳区"


def test_another_leaf_is_routed_as_the_library_would(running):
    answer = running.suggest(TEXT)
    demand = answer["demands"][0]
    body = {
        "code": demand["categories"][0]["code"],
        "text": TEXT,
        "kind": demand["place"]["kind"],
        "district": demand["place"]["district"],
        "town": demand["place"]["town"],
        "request_type": demand["request_type"]["value"],
        "owners": [e["value"] for e in demand["elements"]["owner"]],
        "actors": [e["value"] for e in demand["elements"]["actor"]],
    }
    route = running.call("POST", "/v1/route", json=body).json()
    assert route["unit"]["name"] == demand["unit"]["name"]
    assert route["deadline"] == demand["deadline"]
    assert running.call("POST", "/v1/route", json={**body, "code": "99-99-999"}).status_code == 422


def test_without_a_key_nothing_is_told(running):
    for path in ("/v1/tickets", "/v1/models", "/v1/catalogue", "/v1/decisions"):
        for headers in ({}, {"Authorization": "Bearer jk_00000000_wrong"}, {"X-API-Key": "x"}):
            answer = running.client.get(path, headers=headers)
            assert answer.status_code == 401, path


def test_every_v1_route_asks_for_a_role(running):
    """A new route that forgets to ask who calls fails here."""
    app = create_app(running.service)
    for route in app.openapi()["paths"]:
        if not route.startswith("/v1"):
            continue
        for method in app.openapi()["paths"][route]:
            path = route.replace("{", "").replace("}", "")
            assert running.client.request(method, path).status_code == 401, (method, route)


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/v1/models", Role.ENGINEER),
        ("POST", "/v1/models/rollback", Role.ENGINEER),
        ("GET", "/v1/quality", Role.ENGINEER),
        ("GET", "/v1/decisions?format=csv", Role.ENGINEER),
        ("GET", "/v1/audit", Role.ADMIN),
    ],
)
def test_roles(running, method, path, least):
    for role in Role:
        refused = running.call(method, path, role=role.value).status_code == 403
        assert refused is not role.covers(least)


def test_a_revoked_key_ends_at_once(running):
    key = running.keys["operator"]
    running.service.access.revoke_key(key.split("_")[1])
    assert running.call("GET", "/v1/catalogue").status_code == 401
