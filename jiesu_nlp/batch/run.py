"""A run, whatever engine does it: its plan, its output folder, its running figures."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jiesu_nlp import __version__
from jiesu_nlp.batch.extras import arrow
from jiesu_nlp.batch.manifest import FOLDER, Manifest, Shard, locked
from jiesu_nlp.batch.rows import LABEL_COLUMNS, Task, output_schema
from jiesu_nlp.batch.sink import clear_unfinished, gather_bad_rows
from jiesu_nlp.batch.source import Source
from jiesu_nlp.batch.table import Table, is_table_of
from jiesu_nlp.bundle import MANIFEST, Bundle
from jiesu_nlp.errors import BundleError, UsageError

SHARD_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows' task and everything else that decides the bytes of the output.

    ``form`` is ``parquet``, ``csv`` or ``table``; with ``table`` the answers go into that table and
    only what tells of the run is in the output folder.
    """

    task: Task
    output: Path
    form: str = "parquet"
    partition_by: str | None = None
    shard_rows: int = SHARD_ROWS
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """How a run begins or goes on: what is asked besides the plan.

    Attributes
    ----------
    spec
        What the user calls the input.
    bundle
        :func:`identity_of` the bundle.
    restart
        Discard the finished shards of an earlier run.
    accept_changed_bundle
        Finish a run with another bundle than it began with.
    """

    spec: str
    bundle: str
    restart: bool = False
    accept_changed_bundle: bool = False


@dataclass
class Tally:
    """Running figures of a run. ``resumed`` rows were done by an earlier one."""

    rows: int = 0
    bad: int = 0
    resumed: int = 0
    share: float | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    bad_file: Path | None = None

    def add(self, shard: Shard, *, resumed: bool = False) -> None:
        """Count a finished shard."""
        self.rows += shard.rows
        self.bad += shard.bad
        self.decisions.update(shard.decisions)
        if resumed:
            self.resumed += shard.rows + shard.bad

    @property
    def rate(self) -> float:
        """Rows per second of this run."""
        done = self.rows + self.bad - self.resumed
        return done / max(time.monotonic() - self.started, 1e-9)


def identity_of(bundle: Bundle) -> str:
    """Return what a bundle's answers depend on: its files and this program."""
    digest = hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()[:16]
    return f"{__version__}:{digest}"


@contextmanager
def opened(
    source: Source, plan: Plan, start: Start, *, engine: str
) -> Iterator[tuple[Manifest, Tally]]:
    """Hold the output folder for a new run or the rest of one; gather the bad rows at the end.

    Parameters
    ----------
    source, plan, start
        What is read, what to do with it, and how to begin.
    engine
        ``local`` or ``spark``.

    Raises
    ------
    UsageError
        If the folder holds something else or cannot be written, or the output cannot be
        partitioned so.
    BundleError
        If the bundle changed since the run began.
    """
    _check_partition(output_schema(source.schema, plan.task), plan)
    _check_folder(plan.output)
    with locked(plan.output):
        if start.restart:
            _discard(plan.output)
        clear_unfinished(plan.output)
        manifest = Manifest(plan.output)
        header = {
            "engine": engine,
            "input": start.spec,
            "pieces": list(source.pieces),
            "schema": [f"{f.name}: {f.type}" for f in source.schema],
            "task": json.loads(json.dumps(asdict(plan.task))),
            "form": plan.form,
            "table": None if plan.table is None else plan.table.shown,
            "table_id": None if plan.table is None else plan.table.identity,
            "partition_by": plan.partition_by,
            "shard_rows": plan.shard_rows,
            "bundle": start.bundle,
        }
        _check_header(manifest, header, plan.table, start.accept_changed_bundle)
        tally = Tally()
        try:
            yield manifest, tally
        finally:
            tally.bad_file = gather_bad_rows(plan.output, manifest)


_ASKED = {
    "engine": "计算引擎", "pieces": "输入文件的清单", "schema": "输入的列",
    "task": "列的选择或脱敏选项", "form": "输出格式",
    "partition_by": "分区列", "shard_rows": "分片行数",
}  # fmt: skip


def _check_header(
    manifest: Manifest, header: dict[str, Any], table: Table | None, changed_bundle: bool
) -> None:
    old = manifest.header
    if old is None:
        manifest.begin(header)
        return
    differs = [label for key, label in _ASKED.items() if old.get(key) != header[key]]
    if not is_table_of(old, table):
        differs.append("数据库表")
    if differs and not manifest.shards:
        manifest.begin(header)  # nothing was done yet: the command was wrong and is now another
        return
    if differs:
        raise UsageError(
            f"输出文件夹 {manifest.output} 属于另一次重标（输入 {old.get('input')}），"
            f"不同之处：{'、'.join(differs)}；请换一个输出文件夹，或加 --restart 丢弃旧结果重做"
        )
    last = {s.bundle for s in manifest.shards.values()} or {str(old.get("bundle"))}
    if last != {header["bundle"]} and not changed_bundle:
        raise BundleError(
            f"模型包或程序在两次运行之间变了（原 {'、'.join(sorted(last))}，现 {header['bundle']}）；"
            "请换回原模型包继续，或加 --restart 全部重做；"
            "确实要混用时加 --accept-changed-bundle（结果里的版本列会说明各行出自哪一个）"
        )


def _check_partition(schema: Any, plan: Plan) -> None:
    """Refuse a partition whose files could not be found or patched again."""
    by, prefix = plan.partition_by, plan.task.prefix
    if by is None:
        return
    if by not in schema.names:
        raise UsageError(f"不能按“{by}”分区：没有这一列；现有列：{'、'.join(schema.names)}")
    if by in [prefix + n for n in ("source", "row")]:
        raise UsageError(f"不能按“{by}”分区：写回人工核定要靠它找到原来的行；请换一列")
    if by in [prefix + n for n in LABEL_COLUMNS]:
        raise UsageError(f"不能按“{by}”分区：它会随人工核定改变；请换一列")
    if arrow().types.is_nested(schema.field(by).type):
        raise UsageError(f"不能按“{by}”分区：一格里有多个值；请换一列单个值的，如 {prefix}district")


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError(f"输出应为文件夹：{output}")
    if output.is_dir() and not (output / FOLDER).is_dir() and any(output.iterdir()):
        raise UsageError(f"输出文件夹不是空的，也不是重标的输出：{output}；请换一个文件夹")


def _discard(output: Path) -> None:
    """Remove the files of an earlier run; what no shard is named like stays."""
    for path in output.rglob("part-*.*"):
        path.unlink(missing_ok=True)
    for path in (output / FOLDER).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
