import json
from pathlib import Path

import pytest

from jiesu_nlp.batch.columns import NAMES
from jiesu_nlp.batch.local import relabel
from jiesu_nlp.batch.rows import Task
from jiesu_nlp.batch.run import Plan, Start, identity_of
from jiesu_nlp.batch.source import open_source

GOLD = Path(__file__).resolve().parents[2] / "gold" / "tickets.jsonl"


@pytest.fixture(scope="session")
def gold():
    lines = GOLD.read_text(encoding="utf-8").splitlines()[:300]
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def rows(gold):
    """Plain tickets with a column to keep and an old label."""
    return [
        {"n": i, "text": t["text"], "old": t["code"], "编号": f"00{i}"} for i, t in enumerate(gold)
    ]


@pytest.fixture(scope="session")
def run(dispatcher, bundle):
    """Relabel an input in this process' own workers."""

    def go(spec, output, *, query=None, task=None, shard_rows=40, form="parquet", by=None, **how):
        given = {"text": "text", "columns": NAMES} | (task or {})
        plan = Plan(Task(**given), output, form, by, shard_rows)
        start = Start(**{"spec": str(spec), "bundle": identity_of(bundle)} | how)
        return relabel(open_source(str(spec), query=query), dispatcher, plan, start, workers=2)

    return go
