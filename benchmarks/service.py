"""Latency, throughput, memory and restart of the service, under an open-loop load on loopback.

Starts ``jiesu serve`` on a store of its own and sends ``POST /v1/suggestions`` at a fixed rate. A
request's latency counts from when it was due, so a stall is not hidden by waiting clients.

    python benchmarks/service.py --rate 100 --seconds 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

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
            time.sleep(0.01)


def megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time so far: says what a request costs however busy the machine is."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ask(reader, writer, request: bytes) -> int:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def load(port: int, key: str, rate: float, seconds: float, pid: int) -> dict[str, Any]:
    def request(i: int) -> bytes:
        body = json.dumps({"text": f"{TEXTS[i % len(TEXTS)]}（{i}）", "id": f"B{i}"}).encode()
        return (
            b"POST /v1/suggestions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
            + key.encode()
            + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )

    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    latencies: list[float] = []
    failures: list[object] = []
    memory: list[float] = []
    pending: set[asyncio.Task[None]] = set()
    first = time.perf_counter() + 0.2

    async def one(i: int) -> None:
        due = first + i / rate
        connection = None
        while idle and connection is None:
            # The service closes a connection that was long idle.
            reader, writer = idle.pop()
            connection = None if reader.at_eof() or writer.is_closing() else (reader, writer)
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", port)
        try:
            status = await ask(*connection, request(i))
        except (OSError, asyncio.IncompleteReadError) as fault:
            failures.append(repr(fault))
            return
        latencies.append(time.perf_counter() - due)
        idle.append(connection)
        if status != 200:
            failures.append(status)

    for i in range(int(rate * seconds)):
        wait = first + i / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(i))
        pending.add(task)
        task.add_done_callback(pending.discard)
        if i % int(rate * 5) == 0:
            memory.append(round(megabytes(pid), 1))
    while pending:
        await asyncio.sleep(0.01)
    memory.append(round(megabytes(pid), 1))
    ranked = sorted(1000 * x for x in latencies)
    return {
        "rate": rate,
        "seconds": seconds,
        "answered": len(ranked),
        "failures": len(failures),
        "kinds": sorted({str(f) for f in failures})[:5],
        "p50_ms": round(statistics.median(ranked), 2),
        "p95_ms": round(ranked[int(0.95 * len(ranked))], 2),
        "p99_ms": round(ranked[int(0.99 * len(ranked)) - 1], 2),
        "max_ms": round(ranked[-1], 2),
        "memory_mb": memory,
    }


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
        asyncio.run(load(port, key, 50, 3, process.pid))  # Warm up.
        busy = os.getloadavg()[0]
        before = cpu_seconds(process.pid)
        figures = asyncio.run(load(port, key, options.rate, options.seconds, process.pid))
        spent = cpu_seconds(process.pid) - before
        figures["cpu_ms_per_request"] = round(1000 * spent / max(1, figures["answered"]), 2)
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
