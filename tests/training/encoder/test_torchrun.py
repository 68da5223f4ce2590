"""Several processes through the command, as an engineer starts them; killed and taken up again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.conftest import small_tickets, write_jsonl
from tests.training.encoder.conftest import build_checkpoint


def start(folder, port):
    launch = ["-m", "torch.distributed.run", "--nnodes=1", "--master-addr=127.0.0.1"]
    launch += [f"--master-port={port}", "--nproc_per_node=2", "-m", "jiesu_nlp", "train"]
    arguments = ["--arch", "encoder", "--checkpoint", folder / "checkpoint"]
    arguments += ["--data", folder / "工单.jsonl", "--taxonomy", "labels-only"]
    # So high a rate stops getting better long before the last epoch.
    arguments += ["--epochs", "40", "--out", folder / "模型"]
    for option in ("max_length=48", "learning_rate=0.05", "patience=1", "save_every=1"):
        arguments += ["--encoder-option", option]
    return subprocess.Popen(
        [sys.executable, *launch, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # The host's own name need not resolve.
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "GLOO_SOCKET_IFNAME": "lo",
        },
    )


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_killed_run_of_two_processes_is_taken_up_and_stops_early(tmp_path):
    build_checkpoint(tmp_path / "checkpoint")
    write_jsonl(tmp_path / "工单.jsonl", small_tickets(600))
    work = tmp_path / ".模型-encoder"
    first = start(tmp_path, free_port())
    deadline = time.monotonic() + 240
    try:
        while not list(work.glob("state-*")):
            assert first.poll() is None, first.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        # torchrun starts its workers in sessions of their own, below it.
        for child in children_of(first.pid):
            os.kill(child, signal.SIGKILL)
        kill(first)
    assert not (tmp_path / "模型").exists()
    again = start(tmp_path, free_port())
    try:
        output, _ = again.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        kill(again)
        raise
    assert again.returncode == 0, output
    run = json.loads((tmp_path / "模型" / "training.json").read_text(encoding="utf-8"))["encoder"]
    assert run["processes"] == 2
    assert run["resumed_at"] > 0
    assert run["best_epoch"] < len(run["history"]) < 40
    assert output.count("已生成") == 1
    assert not work.exists()


def children_of(pid):
    """Process ids below ``pid`` (Linux)."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found
