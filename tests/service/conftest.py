"""A service on a store of its own for each test; the quickly trained model is shared."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="服务部件未安装（jiesu-nlp[service]）")

from fastapi.testclient import TestClient

from jiesu_nlp.bundle import Registry, open_bundle
from service.access import Role
from service.app import create_app
from service.core import Service
from service.models import LoadedModel, ModelHost
from service.settings import Settings, database_url
from service.store.engine import migrate, open_engine

SECRET = "0f9c1e7d5b3a48628d7c6b5a4f3e2d1c"
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="session")
def models_folder(bundle, tmp_path_factory) -> Path:
    """Two good bundles, ``quick`` (active) and ``other``, and the damaged ``broken``."""
    folder = tmp_path_factory.mktemp("service-models")
    for name in ("quick", "other", "broken"):
        shutil.copytree(bundle.path, folder / name)
    damaged = folder / "broken" / "classifier.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7] + b"damaged")
    return folder


@pytest.fixture(scope="session")
def loaded(models_folder, dispatcher) -> LoadedModel:
    return LoadedModel("quick", open_bundle(models_folder / "quick"), dispatcher)


@dataclass
class Running:
    """A started service, a client with an operator's key, and the keys of all roles."""

    service: Service
    client: TestClient
    keys: dict[str, str]

    def call(self, method, path, *, role="operator", key=None, **options):
        headers = {"Authorization": f"Bearer {self.keys[role]}", **options.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.client.request(method, path, headers=headers, **options)

    def suggest(self, text, **fields):
        answer = self.call("POST", "/v1/suggestions", json={"text": text, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decide(self, suggestion, key, role="operator", **body):
        body = {"suggestion_id": suggestion["suggestion_id"], "kind": "accepted", **body}
        return self.call("POST", "/v1/decisions", role=role, key=key, json=body)

    def settle(self):
        """Wait until everything handed over is written."""
        self.service.writer.submit("audit", _audit_line()).result(timeout=10)

    def log_in(self, name):
        data = {"name": name, "password": PASSWORD}
        answer = self.client.post("/login", data=data, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()["csrf"]


def _audit_line():
    from service.store.tables import new_id, stamp

    return {
        "id": new_id(),
        "created_at": stamp(),
        "actor": "test",
        "action": "settle",
        "detail": "",
        "peer": None,
    }


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store_url(request, tmp_path, empty_store) -> str:
    """Every test of the service runs on both stores; PostgreSQL is a real server on loopback."""
    if request.param == "sqlite":
        (tmp_path / "data").mkdir()
        shutil.copy(empty_store, tmp_path / "data" / "jiesu.db")
        return database_url(tmp_path / "data", {})
    return request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A migrated SQLite file to copy: migrating for every test would take most of the time."""
    path = tmp_path_factory.mktemp("store") / "jiesu.db"
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def settings(tmp_path, store_url) -> Settings:
    return Settings(
        data=tmp_path / "data",
        database_url=store_url,
        secret=SECRET,
        secure_cookies=False,
        rate=10_000,
    )


@pytest.fixture
def models(models_folder, loaded, tmp_path) -> ModelHost:
    """A registry of its own: the pointer is a test's, the bundles are shared."""
    folder = tmp_path / "models"
    folder.mkdir()
    for bundle in models_folder.iterdir():
        (folder / bundle.name).symlink_to(bundle)
    host = ModelHost(Registry(folder))
    host.registry.use("quick")
    host._active = loaded
    return host


@pytest.fixture
def running(settings, models):
    service = Service(settings, models)
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        keys = {r.value: service.access.add_key(f"test-{r.value}", r) for r in Role}
        yield Running(service, client, keys)


@pytest.fixture
def accounts(running):
    for role in Role:
        running.service.access.add_account(role.value, role, PASSWORD)
    return running


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    from tests.service.postgres import start_server

    yield from start_server(tmp_path_factory.mktemp("postgres"))


@pytest.fixture
def postgres_url(postgres_server):
    from tests.service.postgres import fresh_database

    return fresh_database(postgres_server)
