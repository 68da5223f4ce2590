"""A real ``jiesu serve`` in a process of its own, for what only a process can show."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.service.conftest import SECRET
from tests.service.postgres import free_port


class Served:
    """Starts, kills and restarts the service on one port and one data folder.

    ``code`` holds another copy of the package ``service`` to run.
    """

    def __init__(self, folder: Path, models: Path, code: Path | None = None) -> None:
        self.code = code
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "JIESU_DATA": str(folder),
            "JIESU_MODELS": str(models),
            "JIESU_SECRET": SECRET,
            "JIESU_COOKIE_SECURE": "0",
            "JIESU_RATE": "100000",
        }
        self.log = (folder.parent / "serve.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def jiesu(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            cwd=self.code,
            env=self.environment,
            input=stdin,
            text=True,
            capture_output=True,
            check=True,
        )
        return done.stdout

    def start(self, arguments: Sequence[str] = ()) -> float:
        """Start and return the seconds until ``/readyz`` says so."""
        arguments = arguments or ("serve", "--port", str(self.port))
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            cwd=self.code,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
        )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return time.perf_counter() - begun

    def _wait(self) -> None:
        assert self.process is not None
        while True:
            assert self.process.poll() is None, "serve 已退出，见 serve.log"
            try:
                if httpx.get(self.url + "/readyz", timeout=1, verify=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)


RUN = "from jiesu_nlp.cli.main import run; run()"
