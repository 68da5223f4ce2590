"""What is shipped for deployment hangs together: no image is built here, so every claim is checked."""

import importlib.util
import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import yaml

from service.console.page import CHARTS
from service.settings import read_settings
from tests.service.served import Served

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions():
    """The Dockerfile as pairs of instruction and arguments."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [ln.strip() for ln in text.splitlines()]
    return [tuple(ln.split(None, 1)) for ln in lines if ln and not ln.startswith("#")]


def of(name):
    return [rest for word, rest in instructions() if word == name]


def let_in():
    rules = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert rules[0] == "*"
    return [r[1:] for r in rules if r.startswith("!")]


def test_every_copied_file_exists_and_is_let_into_the_build():
    copied = [rest.split()[:-1] for rest in of("COPY") if not rest.startswith("--from")]
    for source in (s for sources in copied for s in sources):
        if source == "wheelhous[e]":
            # Optional: with a pattern a missing folder is no error.
            assert any(fnmatch(name, source) for name in let_in())
            continue
        assert (ROOT / source).exists(), source
        assert any(Path(source).is_relative_to(rule) for rule in let_in()), source
    for source in let_in():
        assert source == "wheelhouse" or (ROOT / source).exists(), source
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    assert needed <= {s for sources in copied for s in sources}


def test_the_image_is_lean_pinned_and_unprivileged():
    words = [word for word, _ in instructions()]
    known = "FROM WORKDIR COPY RUN ENV USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"
    assert set(words) <= set(known.split())
    bases = {rest.split()[0] for rest in of("FROM")}
    python = of("FROM")[-1]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", python)
    # Node only fetches the chart library; nothing of it is in the image.
    (node,) = bases - {python}
    assert re.fullmatch(r"node:\d+-\w+-slim", node)
    assert of("FROM")[0] == f"{node} AS assets"
    assert of("USER")[-1] not in ("root", "0")
    assert words.index("USER") < words.index("ENTRYPOINT")
    for name in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(of(name)[0]), list)
    text = (DEPLOY / "Dockerfile").read_text()
    assert "sudo" not in text
    assert not re.search(r"^# syntax=", text, re.M)
    # Written to at run time, hence owned by the user and kept outside the image.
    for variable in ("JIESU_DATA", "JIESU_MODELS"):
        path = re.search(rf"{variable}=(\S+)", text).group(1)
        assert path in of("RUN")[-1]
        assert path.startswith(of("VOLUME")[0])


def test_named_extras_and_commands_exist():
    files = [DEPLOY / "Dockerfile", ROOT / "docs" / "部署.md", ROOT / "service" / "cli.py"]
    for file in files:
        for extra in re.findall(r"(?:jiesu-nlp|\.)\[([a-z-]+)\]", file.read_text()):
            assert extra in PROJECT["optional-dependencies"], (file.name, extra)
    assert json.loads(of("ENTRYPOINT")[0]) == ["jiesu"]
    assert "jiesu" in PROJECT["scripts"]


COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
# The part of the Compose specification that is used; a misspelt key fails.
SERVICE_KEYS = {
    "image", "build", "restart", "environment", "volumes", "healthcheck", "depends_on", "ports",
    "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period",
}  # fmt: skip


def test_the_compose_file_hangs_together():
    assert set(COMPOSE) == {"name", "services", "networks", "volumes"}
    for name, service in COMPOSE["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        for volume in service["volumes"]:
            assert volume.split(":")[0] in COMPOSE["volumes"]
        for other in service.get("depends_on", []):
            assert other in COMPOSE["services"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    service = COMPOSE["services"]["service"]
    build = service["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert service["ports"][0].endswith(":" + of("EXPOSE")[0])
    assert {v.split(":")[1] for v in service["volumes"]} == set(of("VOLUME"))
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert not COMPOSE["services"]["database"]["image"].endswith((":latest", "postgres"))


def test_the_proxy_on_the_host_is_trusted_by_default():
    """Through a published port its requests come from the gateway, which docker else picks at will."""
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    gateway = network["gateway"]
    assert ipaddress.ip_address(gateway) in ipaddress.ip_network(network["subnet"])
    proxy = COMPOSE["services"]["service"]["environment"]["JIESU_PROXY"]
    assert proxy == f"${{JIESU_PROXY:-{gateway}}}"
    for file in (DEPLOY / "env.example", ROOT / "docs" / "部署.md"):
        assert gateway in file.read_text(), file.name


def test_every_variable_is_explained_and_every_secret_demanded():
    text = (DEPLOY / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+)", text))
    example = (DEPLOY / "env.example").read_text()
    explained = dict(re.findall(r"^(\w+)=(.*)$", example, re.M))
    assert used == set(explained)
    for name in ("JIESU_SECRET", "JIESU_DB_PASSWORD"):
        assert f"${{{name}:?" in text
        assert explained[name] == ""


def test_the_environment_of_the_compose_file_is_understood():
    values = {"JIESU_SECRET": "0f9c1e7d5b3a48628d7c6b5a4f3e2d1c", "JIESU_DB_PASSWORD": "pw"}

    def filled(match):
        return values.get(match.group(1)) or match.group(2) or ""

    environment = {
        k: re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", filled, str(v))
        for k, v in COMPOSE["services"]["service"]["environment"].items()
    }
    settings = read_settings({**environment, "JIESU_DATA": "/var/lib/jiesu/service"})
    assert settings.database_url == "postgresql+psycopg://jiesu:pw@database/jiesu"
    assert settings.webhook_url is None


def test_systemd_finds_no_fault_in_the_unit(tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("缺少 systemd-analyze")
    text = (DEPLOY / "jiesu.service").read_text()
    program = re.search(r"ExecStart=(\S+)", text).group(1)
    # The program is not installed there on this machine; everything else must hold.
    (tmp_path / "jiesu.service").write_text(text.replace(program, sys.executable))
    done = subprocess.run(
        [tool, "verify", "--man=no", str(tmp_path / "jiesu.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "jiesu.service" not in done.stderr, done.stderr
    assert done.returncode == 0


def test_the_command_beside_the_unit_acts_on_the_service_s_store(tmp_path):
    """Same variables, same user; only the paths of the real machine are others here."""
    unit = (DEPLOY / "jiesu.service").read_text()
    script = (DEPLOY / "jiesuctl").read_text()
    program = re.search(r"ExecStart=(\S+)", unit).group(1)
    settings = re.search(r"EnvironmentFile=(\S+)", unit).group(1)
    user = re.search(r"User=(\S+)", unit).group(1)
    assert f"runuser -u {user} -- {program} " in script
    assert f"settings={settings}\n" in script
    show = tmp_path / "show"
    show.write_text('#!/bin/sh\necho "$JIESU_SECRET|$JIESU_DATA|$JIESU_MODELS|$1|$2"\n')
    runuser = tmp_path / "runuser"
    runuser.write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
    for file in (show, runuser):
        file.chmod(0o755)
    copy = tmp_path / "jiesuctl"
    copy.write_text(script.replace(program, str(show)).replace(settings, f"{tmp_path}/env"))

    def call():
        return subprocess.run(
            ["/bin/sh", str(copy), "user", "a b"],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert call().returncode == 2
    example = (DEPLOY / "service.env").read_text()
    (tmp_path / "env").write_text(example.replace("JIESU_SECRET=", "JIESU_SECRET='$x y'"))
    assert call().stdout == "$x y|/var/lib/jiesu/service|/var/lib/jiesu/models|user|a b\n"
    (tmp_path / "env").write_text("JIESU_SECRET=x\n")
    assert call().returncode != 0
    assert "JIESU_DATA" in call().stderr
    # Both folders are the unit's own, writable in its sandbox; it starts with neither unset.
    for name in re.findall(r"^(JIESU_(?:DATA|MODELS))=/var/lib/\S+$", example, re.M):
        path = re.search(rf"^{name}=/var/lib/(\S+)$", example, re.M).group(1)
        assert path in re.search(r"StateDirectory=(.+)", unit).group(1).split()
        assert f'test -n "${name}"' in unit
        assert f"Environment={name}" not in unit


@pytest.fixture
def client(monkeypatch):
    spec = importlib.util.spec_from_file_location("client", DEPLOY / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("JIESU_KEY", "jk_test")
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return module


@pytest.fixture
def answering(client):
    """A server that gives one answer after another: status, type and body, or ``None``: it hangs up."""
    answers, keys = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            keys.append(self.headers["Idempotency-Key"])
            answer = answers.pop(0)
            if answer is None:
                return
            status, kind, body = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Retry-After", "Fri, 20 Nov 2026 08:00:00 GMT")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    client.BASE = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield answers, keys
    server.shutdown()
    server.server_close()
    thread.join()


HTML = "<html>网关</html>"


def test_the_client_example_outlives_a_restart(client, answering):
    answers, keys = answering
    busy = (503, "application/problem+json", '{"detail": "忙"}')
    away = [None, (502, "text/html", HTML), (504, "text/html", HTML), busy]
    answers += [*away, (200, "application/json", '{"a": 1}')]
    assert client.call("/x", {}, key="k") == {"a": 1}
    assert keys == ["k"] * 5


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((422, "application/problem+json", '{"detail": "诉求内容为空"}'), "诉求内容为空"),
        ((403, "text/html", HTML), "403"),
        ((403, "application/json", "[]"), "403"),
        ((200, "text/html", HTML), "JSON"),
    ],
)
def test_the_client_example_says_what_is_wrong(client, answering, answer, words):
    answering[0].append(answer)
    with pytest.raises(SystemExit, match=words):
        client.call("/x", {}, key="k")


def test_the_client_example_gives_up_in_the_end(client, answering):
    answers, keys = answering
    answers += [None, (502, "text/html", HTML)] * client.ATTEMPTS
    with pytest.raises(SystemExit, match="连不上"):
        client.call("/x", {}, key="k")
    assert len(keys) == client.ATTEMPTS


def test_the_client_example_keeps_a_ticket_s_key(client, answering):
    answers, keys = answering
    category, unit = {"path": ["甲", "乙"]}, {"name": "丙"}
    found = {"suggestion_id": "s1", "demands": [{"categories": [category], "unit": unit}]}
    for number in ("工单-1", "工单-1", "工单-2"):
        answers += [(200, "application/json", json.dumps(found)), (201, "application/json", "{}")]
        client.suggest(number, "路灯不亮")
    assert keys[:2] == keys[2:4] != keys[4:]
    assert all(re.fullmatch("[0-9a-z-]+", key) for key in keys)


@pytest.mark.slow
def test_entry_point_and_health_check_of_the_image_run(tmp_path, models):
    """The very commands of the Dockerfile, with another port."""
    one = Served(tmp_path / "data", models.registry.directory)
    command = json.loads(of("ENTRYPOINT")[0]) + json.loads(of("CMD")[0])
    assert command[0] == "jiesu"
    arguments = [str(one.port) if a == of("EXPOSE")[0] else a for a in command[1:]]
    health = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])
    check = [
        sys.executable,
        *(a.replace(f":{of('EXPOSE')[0]}/", f":{one.port}/") for a in health[1:]),
    ]
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    one.start(arguments)
    try:
        assert httpx.get(one.url + "/readyz").status_code == 200
        subprocess.run(check, check=True)
    finally:
        one.stop()


@pytest.mark.slow
def test_the_wheel_holds_all_that_the_service_needs(tmp_path):
    """Built as the image builds it, then run from the wheel alone."""
    source = tmp_path / "source"
    source.mkdir()
    # A checkout ignores the installed chart library; the wheel must not.
    for name in (*let_in(), ".gitignore"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source / name)
    library = CHARTS.relative_to(ROOT)
    (source / library).parent.mkdir(exist_ok=True)
    (source / library).touch()
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0 and "hatchling" in built.stderr:
        pytest.skip("取不到构建工具 hatchling")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("jiesu_nlp-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    shipped = [p for p in (ROOT / "service").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    for path in {*shipped, ROOT / library}:
        assert str(path.relative_to(ROOT)) in names, path
    found = subprocess.run(
        [sys.executable, "-c", "import service.app, sys; print(service.app.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path / "installed") in found.stdout
