"""Start Debian's PostgreSQL on a loopback port for the tests; skip where it is not installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

import pytest


def _binary(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    path = str(found[0]) if found else shutil.which(name)
    if path is None:
        pytest.skip(f"缺少 Debian 软件包 postgresql（找不到 {name}）：apt-get install postgresql")
    return path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _as_server_user(folder: Path) -> dict[str, int]:
    """PostgreSQL refuses to run as root; give the folder to the unprivileged user it runs as."""
    if os.geteuid() != 0:
        return {}
    name = "postgres" if _has_user("postgres") else "nobody"
    entry = pwd.getpwnam(name)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    for parent in folder.parents:
        if parent == Path("/tmp") or parent == Path("/"):
            break
        parent.chmod(parent.stat().st_mode | 0o011)
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def start_server(folder: Path):
    """Yield the URL of a running server without its database; stop it afterwards."""
    initdb, postgres = _binary("initdb"), _binary("postgres")
    who = _as_server_user(folder)
    data, port = folder / "data", free_port()
    env = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    made = subprocess.run(
        [initdb, "-D", str(data), "-U", "jiesu", "-A", "trust", "-E", "UTF8", "--no-sync"],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **who,
    )
    assert made.returncode == 0, made.stderr
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [postgres, "-D", str(data), *options], env=env, cwd="/", stdout=log, stderr=log, **who
    )
    url = f"postgresql+psycopg://jiesu@127.0.0.1:{port}"
    try:
        _wait(url, server, folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(200):
        assert server.poll() is None, log.read_text()
        try:
            psycopg.connect(_plain(url) + "/postgres", connect_timeout=1).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def fresh_database(url: str) -> str:
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(_plain(url) + "/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{url}/{name}"
