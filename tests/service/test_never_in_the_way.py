"""Store away, disk full, bad bundle: suggestions still come, decisions are neither lost nor doubled."""

import json
import queue
import shutil
import threading

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import OperationalError

from jiesu_nlp.errors import BundleError, UsageError
from service.models import ModelHost, load_model
from service.store.engine import migrate, open_engine, version_of
from service.store.spool import Spool
from service.store.tables import HEAD, account, audit, decision, new_id, stamp, suggestion
from service.store.writer import Outcome, Writer

TEXT = "方庄芳古园一区门口路灯坏了半个月没人修"


class Outage:
    """Makes every statement of an engine fail as a lost connection does, until it is over."""

    def __init__(self, engine):
        self.on = False
        event.listen(engine, "before_cursor_execute", self._fail)

    def _fail(self, *_):
        if self.on:
            raise OperationalError("lost", {}, OSError("connection refused"))


def count(running, table):
    with running.service.engine.connect() as c:
        return c.execute(select(func.count()).select_from(table)).scalar()


def end(outage, running):
    outage.on = False
    running.service.writer._probe_at = 0.0
    running.settle()


def test_store_away_decisions_are_spooled_and_written_once(running):
    outage = Outage(running.service.engine)
    before = running.suggest(TEXT)
    running.settle()
    outage.on = True
    during = running.suggest(TEXT)
    assert during["demands"]
    first = running.decide(before, "a")
    assert (first.status_code, first.json()["stored"]) == (201, "spool")
    assert running.decide(during, "b").status_code == 201
    assert running.decide(before, "a").status_code == 200
    assert running.decide(before, "a", kind="returned", reason="x").status_code == 409
    assert running.client.get("/readyz").json()["store"] == "spooling"
    listing = running.call("GET", "/v1/tickets")
    assert listing.status_code == 503
    assert "Retry-After" in listing.headers
    assert listing.headers["content-type"] == "application/problem+json"
    end(outage, running)
    assert count(running, decision) == 2
    assert count(running, suggestion) == 2
    assert running.decide(before, "a").status_code == 200
    assert count(running, decision) == 2
    assert running.client.get("/readyz").json()["store"] == "ok"


def test_keys_and_sessions_outlive_the_store(accounts):
    accounts.log_in("operator")
    outage = Outage(accounts.service.engine)
    outage.on = True
    accounts.service.access.refresh(force=True)
    assert accounts.suggest(TEXT)
    assert accounts.client.get("/").status_code == 200
    outage.on = False


def test_a_spool_is_replayed_at_the_next_start_even_twice(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 's.db'}")
    spool = Spool(tmp_path / "spool")
    values = _decision_values()
    spool.append([("decision", values)])
    # The crash came between the commit and the end of the replay.
    spool.waiting()
    spool.append([("decision", values)])
    for _ in range(2):
        migrate(engine)
        writer = Writer(engine, Spool(tmp_path / "spool"))
        writer.start()
        writer.stop()
    with engine.connect() as c:
        assert c.execute(select(func.count()).select_from(decision)).scalar() == 1
    assert not Spool(tmp_path / "spool")


def test_a_torn_line_of_the_spool_is_cut_off(tmp_path):
    spool = Spool(tmp_path)
    spool.append([("decision", {"id": "1", "digest": "x"})])
    with (tmp_path / "spool.jsonl").open("ab") as stream:
        stream.write(b'{"table": "decision", "values": {"id"')
    again = Spool(tmp_path)
    assert [v["id"] for _, v in again.records()] == ["1"]
    again.append([("decision", {"id": "2", "digest": "x"})])
    assert [v["id"] for _, v in again.records()] == ["1", "2"]


def test_a_damaged_spool_is_told_with_its_line(tmp_path):
    (tmp_path / "spool.jsonl").write_text('{"table": "audit", "values": {}}\nnonsense\n')
    with pytest.raises(UsageError, match="第 2 行"):
        list(Spool(tmp_path).records())


def test_the_last_places_in_the_queue_are_for_decisions(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 's.db'}")
    migrate(engine)
    writer = Writer(engine, Spool(tmp_path / "spool"), most_waiting=10)
    taken = [writer.hand_over("decision", _decision_values()) for _ in range(12)]
    assert taken == [True] * 9 + [False] * 3
    future = writer.submit("decision", _decision_values())
    with pytest.raises(queue.Full):
        writer.submit("decision", _decision_values())
    assert writer.lost == 3
    writer.start()
    assert future.result(timeout=10) is Outcome.WRITTEN
    writer.stop()


def test_suggestions_share_a_commit_and_a_decision_does_not_wait(tmp_path, monkeypatch):
    # Longer than the test may take: who waited for it would show.
    monkeypatch.setattr("service.store.writer._GATHER_SECONDS", 60.0)
    engine = open_engine(f"sqlite:///{tmp_path / 's.db'}")
    migrate(engine)
    commits = []
    event.listen(engine, "commit", commits.append)
    writer = Writer(engine, Spool(tmp_path / "spool"))
    writer.start()
    for _ in range(5):
        assert writer.hand_over("audit", _audit_values())
    assert writer.submit("decision", _decision_values()).result(timeout=10) is Outcome.WRITTEN
    assert len(commits) == 1
    assert writer.hand_over("audit", _audit_values())
    stopping = threading.Thread(target=writer.stop, daemon=True)
    stopping.start()
    stopping.join(timeout=10)
    assert not stopping.is_alive()
    with engine.connect() as c:
        assert c.execute(select(func.count()).select_from(audit)).scalar() == 6


def test_a_record_the_store_refuses_does_not_hold_up_the_others(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 's.db'}")
    migrate(engine)
    writer = Writer(engine, Spool(tmp_path / "spool"))
    good, bad = _decision_values(), {**_decision_values(), "kind": None}
    futures = [writer.submit("decision", v) for v in (bad, good)]
    writer.start()
    writer.stop()
    assert [f.result() for f in futures] == [Outcome.REFUSED, Outcome.WRITTEN]
    rejected = (tmp_path / "spool" / "rejected.jsonl").read_text()
    assert json.loads(rejected)["values"]["id"] == bad["id"]


def test_neither_store_nor_disk_is_an_honest_503(running, monkeypatch):
    made = running.suggest(TEXT)
    running.settle()
    outage = Outage(running.service.engine)
    outage.on = True

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running.service.writer.spool, "append", full)
    answer = running.decide(made, "k")
    assert answer.status_code == 503
    assert "重试" in answer.json()["detail"]
    monkeypatch.undo()
    end(outage, running)
    assert running.decide(made, "k").status_code == 201


def _audit_values():
    return {
        "id": new_id(),
        "created_at": stamp(),
        "actor": "user:a",
        "action": "test",
        "detail": None,
        "peer": None,
    }


def _decision_values():
    return {
        "id": new_id(),
        "created_at": stamp(),
        "suggestion_id": new_id(),
        "demand": 0,
        "kind": "accepted",
        "code": "09-02-003",
        "unit_code": None,
        "unit": "某街道",
        "reason": None,
        "actor": "user:a",
        "suggested_code": None,
        "suggested_unit": None,
        "district": None,
        "model": None,
        "confidence": None,
        "advice": None,
        "rank": None,
        "digest": "d",
    }


def test_two_instances_do_not_share_a_folder(running, models):
    from service.core import Service

    with pytest.raises(UsageError, match="另一个实例"):
        Service(running.service.settings, models)


def test_a_newer_database_is_left_alone(running):
    with running.service.engine.begin() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="升级"):
        migrate(running.service.engine)


def test_the_schema_of_the_migrations_is_the_schema_of_the_code(running):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from service.store.tables import metadata

    with running.service.engine.connect() as c:
        assert compare_metadata(MigrationContext.configure(c), metadata) == []
        assert c.execute(select(func.count()).select_from(account)).scalar() == 0


def test_demands_of_what_was_stored_before_are_counted(running):
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import update
    from sqlalchemy.exc import DBAPIError

    from service.store.engine import _MIGRATIONS

    engine = running.service.engine
    texts = (TEXT, "1、请问住房公积金怎么提取？2、楼上装修每天早上六点就开始砸墙，噪音太大。")
    made = [running.suggest(t) for t in texts]
    running.settle()
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    for step, to in ((command.downgrade, "0002"), (command.upgrade, "0003")):
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            step(config, to)
            if to == "0002":
                row = connection.execute(text("SELECT * FROM suggestion")).first()
                assert "demands" not in row._mapping
    with engine.connect() as c:
        counts = dict(c.execute(select(suggestion.c.id, suggestion.c.demands)).all())
    assert counts == {m["suggestion_id"]: len(m["demands"]) for m in made}
    assert sorted(counts.values()) == [1, 2]
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as c:
        c.execute(update(suggestion).values(demands=5))


def test_a_model_is_switched_and_rolled_back(running):
    host = running.service.models
    done = running.call("POST", "/v1/models/activate", role="engineer", json={"name": "other"})
    assert done.status_code == 200
    assert (host.active.name, host.registry.active()) == ("other", "other")
    assert running.suggest(TEXT)
    back = running.call("POST", "/v1/models/rollback", role="engineer")
    assert back.json()["active"] == "quick"
    running.settle()
    actions = [a["action"] for a in running.call("GET", "/v1/audit", role="admin").json()["audit"]]
    assert {"model-activate", "model-rollback"} <= set(actions)


@pytest.mark.parametrize("name", ["broken", "nothing", "../quick"])
def test_a_bad_bundle_is_refused_and_the_old_one_serves(running, name):
    before = running.service.models.active
    answer = running.call("POST", "/v1/models/activate", role="engineer", json={"name": name})
    assert answer.status_code == 409
    assert "仍由“quick”应答" in answer.json()["detail"]
    assert running.service.models.active is before
    assert running.service.models.registry.active() == "quick"
    assert running.suggest(TEXT)


def test_a_switch_made_elsewhere_is_followed_unless_bad(running):
    host = running.service.models
    host.registry.use("other")
    assert host.follow() is None
    assert host.active.name == "other"
    with pytest.raises(BundleError):
        host.registry.use("broken")
    (host.registry.directory / "active.json").write_text('{"history": ["broken", "other"]}')
    assert "校验和" in str(host.follow())
    assert host.active.name == "other"


@pytest.mark.parametrize("role", ["active", "shadow"])
def test_a_bad_bundle_is_loaded_again_only_when_it_has_changed(running, monkeypatch, role):
    host = running.service.models
    folder = host.registry.directory / "broken"
    damaged = folder.resolve()
    folder.unlink()
    shutil.copytree(damaged, folder)
    tried = []

    def load(name, bundle):
        tried.append(name)
        return load_model(name, bundle)

    monkeypatch.setattr("service.models.load_model", load)
    if role == "active":
        (host.registry.directory / "active.json").write_text('{"history": ["broken", "quick"]}')
    else:
        (host.registry.directory / host.SHADOW_POINTER).write_text('{"shadow": "broken"}')
    assert "校验和" in str(host.follow())
    assert [host.follow() for _ in range(3)] == [None] * 3
    assert tried == ["broken"]
    assert host.active.name == "quick"
    shutil.copy(host.registry.path("other") / "classifier.safetensors", folder)
    assert host.follow() is None
    assert tried == ["broken", "broken"]
    assert (host.active if role == "active" else host.shadow).name == "broken"


def test_an_unreadable_models_folder_ends_nothing(running, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("service.models.load_model", denied)
    running.service.models.registry.use("other")
    assert "权限" in str(running.service.models.follow())
    monkeypatch.undo()
    assert running.service.models.follow() is None
    assert running.service.models.active.name == "other"


def test_the_shadow_answers_beside_and_is_judged_later(running):
    running.call("PUT", "/v1/models/shadow", role="engineer", json={"name": "other"})
    made = [running.suggest(f"{i} 号楼路灯不亮，方庄芳古园一区") for i in range(3)]
    running.decide(made[0], "k")
    for _ in range(100):
        running.settle()
        rows = running.call("GET", "/v1/models/shadow", role="engineer").json()["results"]
        if rows and rows[0]["answers"] == 3:
            break
    (row,) = rows
    # The same weights under another name must agree with themselves.
    assert (row["answers"], row["same_code"], row["same_unit"]) == (3, 3, 3)
    assert (row["judged"], row["right"], row["active_right"]) == (1, 1, 1)
    running.call("PUT", "/v1/models/shadow", role="engineer", json={"name": None})
    assert running.service.models.shadow is None


def test_the_shadow_outlives_a_restart(running):
    running.call("PUT", "/v1/models/shadow", role="engineer", json={"name": "other"})
    registry = running.service.models.registry

    def restarted():
        host = ModelHost(registry)
        host._active = running.service.models.active
        return host

    host = restarted()
    assert host.shadow is None
    assert host.follow() is None
    assert host.shadow.name == "other"
    running.call("PUT", "/v1/models/shadow", role="engineer", json={"name": None})
    assert host.follow() is None
    assert host.shadow is None
    assert restarted().follow() is None


@pytest.mark.parametrize("content", ['{"shadow": "broken"}', '{"shadow": "gone"}', "{", "[]"])
def test_a_bad_shadow_is_told_once_and_in_nobody_s_way(running, content):
    host = running.service.models
    (host.registry.directory / host.SHADOW_POINTER).write_text(content)
    assert host.follow()
    assert host.shadow is None
    assert running.suggest(TEXT)
    running.call("PUT", "/v1/models/shadow", role="engineer", json={"name": "other"})
    assert host.follow() is None
    assert host.shadow.name == "other"


@pytest.fixture
def old_store(postgres_url):
    """An engine whose statements may take half a second, on a store whose migration takes one."""
    from alembic import command
    from alembic.config import Config

    from service.store.engine import _MIGRATIONS

    engine = open_engine(postgres_url)

    @event.listens_for(engine, "connect")
    def _hurry(connection, _):
        connection.execute("SET statement_timeout = 500")
        connection.commit()

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    values = {c.name: "x" for c in suggestion.c if not c.nullable and c.name != "demands"}
    values |= {"answer": '{"demands": [{}, {}]}', "confidence": 0.5, "elapsed_ms": 1.0}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(suggestion.insert(), values)
        connection.execute(
            text(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER dawdle BEFORE UPDATE ON suggestion "
                "FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
            )
        )
    yield engine
    engine.dispose()


@pytest.mark.slow
def test_a_migration_may_take_longer_than_a_statement(old_store):
    migrate(old_store)
    assert version_of(old_store) == HEAD
    with old_store.connect() as c:
        assert c.execute(select(suggestion.c.demands)).scalar() == 2
        assert c.execute(text("SHOW statement_timeout")).scalar() == "500ms"


@pytest.mark.slow
def test_a_migration_waits_for_others_only_so_long(old_store, monkeypatch):
    monkeypatch.setattr("service.store.engine._MIGRATION_LOCK_SECONDS", 1)
    with old_store.begin() as other:
        other.execute(select(suggestion.c.id))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate(old_store)
    migrate(old_store)
    assert version_of(old_store) == HEAD
