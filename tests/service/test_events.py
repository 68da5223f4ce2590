"""The order system follows along: by cursor, and by push to the intranet."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jiesu_nlp.errors import UsageError
from service.settings import read_settings
from service.store.engine import migrate, open_engine
from service.store.export import purge
from service.store.feed import last_cursor, read_events
from service.store.spool import Spool
from service.store.tables import ago
from service.store.writer import Writer
from service.webhook import Webhook, check_address
from tests.service.conftest import SECRET
from tests.service.test_never_in_the_way import _decision_values

TEXT = "方庄芳古园一区门口路灯坏了半个月没人修"


def follow(running, **params):
    seen, cursor, more = [], "0", True
    while more:
        page = running.call("GET", "/v1/events", params={**params, "after": cursor}).json()
        seen += page["events"]
        cursor, more = page["next"], page["more"]
    return seen, cursor


def test_suggestions_and_decisions_in_order_each_once(running):
    made = [running.suggest(f"第 {i} 号路灯不亮", id=f"T{i}") for i in range(5)]
    for i, one in enumerate(made):
        running.decide(one, str(i))
        running.decide(one, str(i))
    running.settle()
    seen, cursor = follow(running, limit=3)
    ids = [e[e["kind"]]["id"] for e in seen]
    assert len(ids) == len(set(ids)) == 10
    for one in made:
        told = [e for e in seen if one["id"] == e["ticket_id"]]
        assert [e["kind"] for e in told] == ["suggestion", "decision"]
        assert told[1]["decision"]["suggestion_id"] == one["suggestion_id"]
    assert "requester" not in seen[0]["suggestion"]
    assert [int(e["cursor"]) for e in seen] == sorted(int(e["cursor"]) for e in seen)
    again = running.call("GET", f"/v1/events?after={cursor}").json()
    assert again == {"events": [], "next": cursor, "more": False}
    only, _ = follow(running, kind="decision")
    assert {e["kind"] for e in only} == {"decision"}
    assert len(only) == 5


def test_a_record_that_was_spooled_for_an_hour_is_not_missed(running, tmp_path):
    running.decide(running.suggest(TEXT), "k")
    running.settle()
    _, cursor = follow(running)
    late = {**_decision_values(), "created_at": ago(1 / 24)}
    spool = Spool(tmp_path / "late")
    spool.append([("decision", late)])
    writer = Writer(running.service.engine, spool)
    writer.start()
    writer.stop()
    page = running.call("GET", f"/v1/events?after={cursor}").json()
    assert [e["decision"]["id"] for e in page["events"]] == [late["id"]]
    assert page["events"][0]["ticket_id"] is None


@pytest.mark.parametrize("after", ["-1", "x", "1;DROP TABLE feed", "9" * 30, ""])
def test_a_bad_cursor_is_refused(running, after):
    answer = running.call("GET", "/v1/events", params={"after": after})
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_two_writers_never_show_a_number_before_a_smaller_one(running):
    """A reader that goes on from the last number it saw must meet every record."""
    engine, stop, seen = running.service.engine, threading.Event(), []

    def read():
        cursor = 0
        while True:
            ending = stop.is_set()
            for event in read_events(engine, after=cursor, limit=50):
                cursor = int(event["cursor"])
                seen.append(event["decision"]["id"])
            if ending:
                return

    writers = [Writer(engine, Spool(running.service.settings.data / f"w{i}")) for i in range(3)]
    reader = threading.Thread(target=read)
    reader.start()
    made = []
    for writer in writers:
        writer.start()
    for i in range(120):
        values = _decision_values()
        made.append(values["id"])
        writers[i % 3].submit("decision", values)
    for writer in writers:
        writer.stop()
    stop.set()
    reader.join()
    assert sorted(seen) == sorted(made)


def test_old_records_get_their_place_in_the_feed(tmp_path):
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import insert

    from service.store.engine import _MIGRATIONS
    from service.store.tables import decision

    engine = open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    rows = [{**_decision_values(), "created_at": ago(d)} for d in (1, 3, 2)]
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(insert(decision), rows)
    migrate(engine)
    assert [e["decision"]["id"] for e in read_events(engine)] == [rows[i]["id"] for i in (1, 2, 0)]


def test_purged_numbers_are_not_given_again(running):
    running.suggest(TEXT)
    running.settle()
    before = last_cursor(running.service.engine)
    purge(running.service.engine, ago(-1))
    assert read_events(running.service.engine) == []
    running.suggest(TEXT)
    running.settle()
    assert last_cursor(running.service.engine) > before


class Receiver(HTTPServer):
    """Keeps what it was sent; ``status`` is what it answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.got = 200, []
        self.url = f"http://127.0.0.1:{self.server_port}/orders"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", self.server.url)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.shutdown()
    one.server_close()


def test_events_are_pushed_signed_and_again_after_a_failure(running, receiver, tmp_path):
    engine = running.service.engine
    running.suggest("开始推送之前的一件")
    running.settle()
    hook = Webhook(engine, receiver.url, SECRET, tmp_path)
    assert not hook.deliver()
    made = running.suggest(TEXT, id="T1")
    running.settle()
    for status in (500, 302):
        receiver.status = status
        with pytest.raises(OSError, match=str(status)):
            hook.deliver()
    receiver.status = 204
    # Another process goes on where this one was.
    assert Webhook(engine, receiver.url, SECRET, tmp_path).deliver()
    assert not hook.deliver()
    assert len(receiver.got) == 3
    headers, body = receiver.got[-1]
    expected = hmac.new(
        SECRET.encode(), headers["X-Jiesu-Timestamp"].encode() + b"." + body, hashlib.sha256
    )
    assert headers["X-Jiesu-Signature"] == "sha256=" + expected.hexdigest()
    (event,) = json.loads(body)["events"]
    assert event["suggestion"]["id"] == made["suggestion_id"]


def test_the_thread_delivers_and_ends(running, receiver, tmp_path, monkeypatch):
    monkeypatch.setattr("service.webhook._POLL_SECONDS", 0.01)
    hook = Webhook(running.service.engine, receiver.url, SECRET, tmp_path)
    hook.deliver()
    receiver.status = 500
    stop = threading.Event()
    thread = threading.Thread(target=hook.run, args=(stop,))
    thread.start()
    running.suggest(TEXT)
    running.settle()
    while hook.failures < 2:
        stop.wait(0.01)
    receiver.status = 200
    while hook._cursor() < last_cursor(running.service.engine):
        stop.wait(0.01)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/x", "http://[2001:4860:4860::8888]/", "http://0.0.0.0/"]
)
def test_nothing_is_pushed_out_of_the_intranet(url):
    with pytest.raises(UsageError, match="内网"):
        check_address(url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://", "http://h:99999/"])
def test_a_bad_address_is_told_at_the_start(url, tmp_path):
    with pytest.raises(UsageError, match="JIESU_WEBHOOK_URL"):
        Webhook(open_engine("sqlite://"), url, SECRET, tmp_path)


def test_pushing_needs_a_secret_of_its_own(tmp_path):
    settings = {
        "JIESU_SECRET": SECRET,
        "JIESU_DATA": str(tmp_path),
        "JIESU_WEBHOOK_URL": "http://127.0.0.1/",
    }
    with pytest.raises(UsageError, match="JIESU_WEBHOOK_SECRET"):
        read_settings(settings)
    assert read_settings({**settings, "JIESU_WEBHOOK_SECRET": SECRET}).webhook_secret == SECRET


def test_the_feed_can_be_taken_back(running):
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import inspect

    from service.store.engine import _MIGRATIONS

    engine = running.service.engine
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    running.suggest(TEXT)
    running.settle()
    for step, expected in ((command.downgrade, "0001"), (command.upgrade, "0003")):
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            step(config, expected)
        assert inspect(engine).has_table("feed") is (expected == "0003")
    running.suggest(TEXT)
    running.settle()
    assert len(read_events(engine)) == 2
