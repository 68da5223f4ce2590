"""Latency, throughput, memory and restart of the service, under an open-loop load on loopback.

Starts ``jiesu serve`` on a store of its own and sends ``POST /v1/suggestions`` at a fixed rate. A
request's latency counts from when it was due, so a stall is not hidden by waiting clients; how late
the client itself sent (``client_lag``) stands beside it.

    python benchmarks/service.py --rate 100 --seconds 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import uvloop

RUN = "from jiesu_nlp.cli.main import run; run()"
TEXTS = (
    "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开",
    "我家在回龙观东大街那边的小区，暖气从十五号到现在一直不热，屋里才十四度，家里有八十多岁的老人",
    "在健身房办了两年卡，上周去发现关门了，老板电话也打不通，三千多块钱能不能退",
    "请问孩子今年幼升小，户口在西城、住在丰台，该去哪里报名？",
    "路灯坏了半个月没人修，在方庄芳古园一区门口；另外地面上井盖也松了，晚上走过去咣当响",
    "楼上装修每天早上六点就开始砸墙，物业说管不了，孩子没法休息，希望尽快处理并给个答复",
)


def start(environment: dict[str, str], port: int) -> tuple[subprocess.Popen[bytes], float]:
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "serve", "--port", str(port)], env=environment
    )
    while True:
        if process.poll() is not None:
            raise SystemExit("服务没有启动")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).read()
            return process, time.perf_counter() - begun
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)


def megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time so far: says what a request costs however busy the machine is."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """An open loop: every request has a moment at which it is due, whatever became of the others.

    Written to cost little, because it shares the two cores with the service: no task and no stream per
    request, and an answer is looked at only as far as its status and its length.
    """

    def __init__(self, port: int, key: str, rate: float, seconds: float, pid: int) -> None:
        self.port, self.rate, self.pid = port, rate, pid
        self.count = int(rate * seconds)
        self.head = (
            f"POST /v1/suggestions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self.idle: list[Connection] = []
        self.opening: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.lags: list[float] = []
        self.failures: list[object] = []
        self.memory: list[float] = []
        self.connections = 0

    async def run(self) -> dict[str, Any]:
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.sample_every = max(1, int(self.rate * 5))
        spent = time.process_time()
        self.first = time.perf_counter() + 0.2
        self.next = 0
        self.tick()
        await self.done
        spent = time.process_time() - spent
        self.memory.append(round(megabytes(self.pid), 1))
        for connection in self.idle:
            connection.transport.close()
        ranked, lags = in_ms(self.latencies), in_ms(self.lags)
        return {
            "rate": self.rate,
            "asked": self.count,
            "answered": len(ranked),
            "failures": len(self.failures),
            "kinds": sorted({str(f) for f in self.failures})[:5],
            "p50_ms": at(ranked, 0.5),
            "p95_ms": at(ranked, 0.95),
            "p99_ms": at(ranked, 0.99),
            "max_ms": at(ranked, 1),
            "client_lag_p99_ms": at(lags, 0.99),
            "client_lag_max_ms": at(lags, 1),
            "client_cpu_ms_per_request": round(1000 * spent / self.count, 3),
            "connections": self.connections,
            "memory_mb": self.memory,
        }

    def tick(self) -> None:
        """Send what is due and wait for the next."""
        while self.next < self.count:
            due = self.first + self.next / self.rate
            wait = due - time.perf_counter()
            if wait > 0:
                self.loop.call_later(wait, self.tick)
                return
            if self.next % self.sample_every == 0:
                self.memory.append(round(megabytes(self.pid), 1))
            self.send(self.next, due)
            self.next += 1

    def send(self, i: int, due: float) -> None:
        if self.idle:
            self.idle.pop().ask(self.request(i), due)
        else:
            task = self.loop.create_task(self.open_and_send(i, due))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def open_and_send(self, i: int, due: float) -> None:
        try:
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self.port
            )
        except OSError as fault:
            self.settle(fault)
            return
        self.connections += 1
        connection.ask(self.request(i), due)

    def request(self, i: int) -> bytes:
        body = json.dumps({"text": f"{TEXTS[i % len(TEXTS)]}（{i}）", "id": f"B{i}"}).encode()
        return b"%b%d\r\n\r\n%b" % (self.head, len(body), body)

    def settle(self, failure: object = None) -> None:
        """Note that one more request came to its end."""
        if failure is not None:
            self.failures.append(failure)
        settled = len(self.latencies) + sum(isinstance(f, Exception) for f in self.failures)
        if settled == self.count:
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One connection kept alive; at most one request is under way on it."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due: float | None = None
        self.received = b""
        self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self.transport.write(request)
        self.load.lags.append(time.perf_counter() - due)

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        if not self.length:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            field = self.received.index(b"content-length: ", 0, end) + 16
            self.length = end + 4 + int(self.received[field : self.received.index(b"\r", field)])
        if len(self.received) < self.length:
            return
        self.load.latencies.append(time.perf_counter() - self.due)
        status = self.received[9:12]
        self.received, self.length, self.due = b"", 0, None
        self.load.idle.append(self)
        self.load.settle(None if status == b"200" else status.decode())

    def connection_lost(self, fault: Exception | None) -> None:
        if self.due is not None:
            self.load.settle(fault or ConnectionError("closed before the answer"))
        elif self in self.load.idle:
            # The service closes a connection that was long idle.
            self.load.idle.remove(self)


def in_ms(seconds: list[float]) -> list[float]:
    return sorted(1000 * x for x in seconds)


def at(ranked: list[float], share: float) -> float:
    return round(ranked[max(0, math.ceil(share * len(ranked)) - 1)], 2) if ranked else math.nan


def load(port: int, key: str, rate: float, seconds: float, pid: int) -> dict[str, Any]:
    before = cpu_seconds(pid)
    figures = uvloop.run(Load(port, key, rate, seconds, pid).run())
    spent = cpu_seconds(pid) - before
    return figures | {"cpu_ms_per_request": round(1000 * spent / figures["asked"], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--database-url", help="默认 SQLite；给出 PostgreSQL 的 URL 则测它")
    options = parser.parse_args()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="jiesu-bench-") as folder:
        environment = {
            **os.environ,
            "JIESU_DATA": folder,
            "JIESU_SECRET": secrets.token_hex(32),
            "JIESU_RATE": "100000",
        }
        environment.pop("JIESU_DATABASE_URL", None)
        if options.database_url:
            environment["JIESU_DATABASE_URL"] = options.database_url
        made = subprocess.run(
            [sys.executable, "-c", RUN, "key", "add", "bench"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        key = made.stdout.strip().splitlines()[-1]
        process, first_start = start(environment, port)
        start_cpu = cpu_seconds(process.pid)
        load(port, key, 50, 3, process.pid)  # Warm up.
        busy = os.getloadavg()[0]
        figures = load(port, key, options.rate, options.seconds, process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process, again = start(environment, port)
        process.terminate()
        process.wait(30)
        figures |= {"start_s": round(first_start, 2), "restart_s": round(again, 2)}
        figures |= {"start_cpu_s": round(start_cpu, 2)}
        figures |= {"load_before": busy, "load_after": os.getloadavg()[0]}
        figures |= {"cores": os.cpu_count()}
        print(json.dumps(figures, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
