"""What only a real process shows: kill -9, draining, refusing to start."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.service.postgres import free_port
from tests.service.served import RUN, Served

pytestmark = pytest.mark.slow
TEXT = "方庄芳古园一区门口路灯坏了半个月没人修"


@pytest.fixture
def served(tmp_path, models):
    one = Served(tmp_path / "served", models.registry.directory)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.kill()


def _key(served):
    return served.jiesu("key", "add", "test", "--role", "engineer").strip().splitlines()[-1]


def test_kill_9_during_a_thousand_decisions(served):
    """Clients repeat until they get an answer; the service is killed again and again meanwhile."""
    headers = {"Authorization": f"Bearer {_key(served)}"}
    served.start()
    with httpx.Client(base_url=served.url, headers=headers, timeout=30) as client:
        made = []
        for start in range(0, 1000, 500):
            tickets = [{"text": f"第 {i} 号路灯不亮"} for i in range(start, start + 500)]
            answer = client.post("/v1/suggestions:batch", json={"tickets": tickets}).json()
            made += [s["suggestion_id"] for s in answer["suggestions"]]
        time.sleep(1)
    todo = iter(enumerate(made))
    lock, confirmed, stop = threading.Lock(), [], threading.Event()

    def work():
        with httpx.Client(base_url=served.url, headers=headers, timeout=30) as client:
            while True:
                with lock:
                    item = next(todo, None)
                if item is None:
                    return
                number, identity = item
                while True:
                    try:
                        answer = client.post(
                            "/v1/decisions",
                            headers={"Idempotency-Key": str(number)},
                            json={"suggestion_id": identity, "kind": "accepted"},
                        )
                    except httpx.TransportError:
                        time.sleep(0.05)
                        continue
                    if answer.status_code in (200, 201):
                        with lock:
                            confirmed.append(identity)
                        break
                    assert answer.status_code == 503, answer.text

    def killer():
        kills = 0
        while not stop.wait(0.25) and kills < 4:
            served.kill()
            served.start()
            kills += 1

    with ThreadPoolExecutor(9) as pool:
        murder = pool.submit(killer)
        workers = [pool.submit(work) for _ in range(8)]
        for worker in workers:
            worker.result(timeout=240)
        stop.set()
        murder.result(timeout=60)
    with httpx.Client(base_url=served.url, headers=headers, timeout=30) as client:
        stored, after = [], None
        while True:
            params = {"limit": 500, **({"after": after} if after else {})}
            page = client.get("/v1/decisions", params=params).json()
            stored += [d["suggestion_id"] for d in page["decisions"]]
            after = page["next"]
            if after is None:
                break
    assert len(stored) == 1000
    assert sorted(stored) == sorted(made) == sorted(confirmed)
    assert served.stop() in (0, -15)


def test_sigterm_finishes_what_is_under_way(served):
    headers = {"Authorization": f"Bearer {_key(served)}"}
    served.start()
    tickets = [{"text": f"第 {i} 号路灯不亮，" + TEXT * 5} for i in range(400)]

    def ask():
        return httpx.post(
            served.url + "/v1/suggestions:batch",
            json={"tickets": tickets},
            headers=headers,
            timeout=60,
        )

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        time.sleep(0.15)
        served.stop()
        answer = asked.result(timeout=60)
    assert answer.status_code == 200
    served.start()
    found = httpx.get(served.url + "/v1/tickets?status=all&limit=500", headers=headers).json()
    assert len(found["tickets"]) == 400
    served.stop()


def test_the_client_example_works(served, tmp_path):
    served.environment["JIESU_KEY"] = _key(served)
    served.environment["JIESU_URL"] = served.url
    served.start()
    client = Path(__file__).parents[2] / "deploy" / "client.py"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(client), *arguments],
            env=served.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    first = run("suggest", "工单-1", TEXT)
    assert "→" in first
    assert "'stored': 'database'" in first
    assert "'repeated': True" in run("suggest", "工单-1", TEXT)
    for expected in (["suggestion", "decision"], []):
        pulled = run("pull", str(tmp_path / "cursor"))
        assert [json.loads(line)["kind"] for line in pulled.splitlines()] == expected
    served.stop()


def test_the_demo_needs_nothing_prepared(models, tmp_path):
    environment = {**os.environ, "JIESU_MODELS": str(models.registry.directory)}
    for name in ("JIESU_SECRET", "JIESU_DATA", "JIESU_DATABASE_URL"):
        environment.pop(name, None)
    port = free_port()
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", RUN, "serve", "--demo", "--port", str(port)],
            env=environment,
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "out").read_text()
            try:
                httpx.get(url + "/readyz", timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        printed = (tmp_path / "out").read_text()
        password = re.search(r"一次性口令 (\S+)", printed).group(1)
        key = re.search(r"jk_\S+", printed).group(0)
        data = {"name": "demo", "password": password}
        with httpx.Client(base_url=url) as client:
            assert client.post("/login", data=data).status_code == 303
            assert "试用" in client.get("/").text
        headers = {"Authorization": f"Bearer {key}"}
        queue = httpx.get(url + "/v1/tickets?status=all", headers=headers).json()["tickets"]
        assert len(queue) >= 10
    finally:
        process.terminate()
        process.wait(timeout=30)
