"""The local engine: one reader, forked workers over shards, a manifest to restart from.

The reader cuts the input into shards, always the same ones. Workers share the loaded bundle's
memory, answer a shard and write its files; the reader records each finished shard. A restart reads
the input again, compares checksums and does what is missing.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jiesu_nlp import __version__
from jiesu_nlp.batch.extras import arrow
from jiesu_nlp.batch.manifest import FOLDER, Manifest, Shard, locked
from jiesu_nlp.batch.rows import Answered, BadRow, Task, answer_batch, output_schema
from jiesu_nlp.batch.sink import clear_unfinished, gather_bad_rows, write_shard
from jiesu_nlp.batch.source import Chunk, Source, UnreadableError
from jiesu_nlp.batch.verdicts import patch, read_saved
from jiesu_nlp.bundle import MANIFEST, Bundle
from jiesu_nlp.errors import BundleError, DataError, JiesuError, UsageError

if TYPE_CHECKING:
    from jiesu_nlp.dispatcher import Dispatcher

SHARD_ROWS = 20_000
_AHEAD = 2
_KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Plan:
    """A run: the rows' task and everything else that decides the bytes of the output."""

    task: Task
    output: Path
    form: str = "parquet"
    partition_by: str | None = None
    shard_rows: int = SHARD_ROWS


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


def relabel(
    source: Source,
    dispatcher: Dispatcher,
    plan: Plan,
    *,
    spec: str,
    bundle: str,
    workers: int,
    restart: bool = False,
    accept_changed_bundle: bool = False,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Answer all rows of a source into the plan's output folder, or finish doing so.

    Parameters
    ----------
    source, dispatcher, plan
        What, by which bundle, and how.
    spec
        What the user calls the input.
    bundle
        :func:`identity_of` the bundle.
    workers
        Processes.
    restart
        Discard the finished shards of an earlier run.
    accept_changed_bundle
        Finish a run with another bundle than it began with.
    progress
        Called after every shard.

    Raises
    ------
    UsageError
        If the folder holds something else, the input changed, or the disk refuses.
    BundleError
        If the bundle changed since the run began.
    """
    output_schema(source.schema, plan.task)
    _check_folder(plan.output)
    with locked(plan.output):
        if restart:
            _discard(plan.output)
        clear_unfinished(plan.output)
        manifest = Manifest(plan.output)
        _check_header(manifest, _header(source, plan, spec, bundle), accept_changed_bundle)
        tally = Tally()
        try:
            _run(source, dispatcher, plan, manifest, bundle, workers, tally, progress)
        finally:
            tally.bad_file = gather_bad_rows(plan.output, manifest.shards)
        return tally


def _header(source: Source, plan: Plan, spec: str, bundle: str) -> dict[str, Any]:
    task = asdict(plan.task)
    task = json.loads(json.dumps(task))
    return {
        "input": spec,
        "pieces": list(source.pieces),
        "schema": [f"{f.name}: {f.type}" for f in source.schema],
        "task": task,
        "form": plan.form,
        "partition_by": plan.partition_by,
        "shard_rows": plan.shard_rows,
        "bundle": bundle,
    }


_ASKED = {
    "pieces": "输入文件的清单", "schema": "输入的列", "task": "列的选择或脱敏选项", "form": "输出格式",
    "partition_by": "分区列", "shard_rows": "分片行数",
}  # fmt: skip


def _check_header(manifest: Manifest, header: dict[str, Any], changed_bundle: bool) -> None:
    old = manifest.header
    if old is None:
        manifest.begin(header)
        return
    differs = [label for key, label in _ASKED.items() if old.get(key) != header[key]]
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


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError(f"输出应为文件夹：{output}")
    if output.is_dir() and not (output / FOLDER).is_dir() and any(output.iterdir()):
        raise UsageError(f"输出文件夹不是空的，也不是重标的输出：{output}；请换一个文件夹")


def _discard(output: Path) -> None:
    """Remove the files of an earlier run; nothing else in the folder is touched."""
    try:
        files = [f.path for s in Manifest(output).shards.values() for f in s.files]
    except DataError:
        files = []
    for name in files:
        (output / name).unlink(missing_ok=True)
    for path in output.rglob("part-*.*"):
        path.unlink(missing_ok=True)
    for path in (output / FOLDER).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


# --- workers --------------------------------------------------------------------------------------

_shared: tuple[Dispatcher, Plan] | None = None


def _start_worker() -> None:
    """Go with the parent, whatever kills it; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)
    arrow().set_cpu_count(1)


def _ready() -> int:
    return os.getpid()


def _do_shard(
    key: str, digest: str, bundle: str, source: str, raw: bytes, chunk: tuple[Any, ...]
) -> Shard:
    assert _shared is not None
    dispatcher, plan = _shared
    numbers, bad = chunk
    pa = arrow()
    with pa.ipc.open_stream(raw) as stream:
        batch = stream.read_next_batch()
    answered = answer_batch(dispatcher, batch, plan.task, source=source, numbers=numbers)
    answered = Answered(
        patch(answered.table, read_saved(plan.output, key), plan.task, dispatcher.catalogue),
        tuple(sorted((*bad, *answered.bad), key=lambda b: b.row)),
        answered.moves,
        answered.decisions,
    )
    files = write_shard(
        plan.output,
        key,
        answered,
        form=plan.form,
        source=source,
        partition_by=plan.partition_by,
    )
    rows, count = answered.table.num_rows, len(answered.bad)
    return Shard(key, digest, rows, count, dict(sorted(answered.decisions.items())), bundle, files)


# --- the reader -----------------------------------------------------------------------------------


def _shards(source: Source, plan: Plan, tally: Tally) -> Iterator[tuple[str, str, Chunk]]:
    """Yield key, piece and rows of every shard; a damaged piece is noted and left."""
    for number, piece in enumerate(source.pieces):
        try:
            for part, chunk in enumerate(source.read(number, plan.shard_rows)):
                yield f"{number:05d}-{part:06d}", piece, chunk
        except UnreadableError as fault:
            tally.faults.append((piece, str(fault)))


def _run(
    source: Source,
    dispatcher: Dispatcher,
    plan: Plan,
    manifest: Manifest,
    bundle: str,
    workers: int,
    tally: Tally,
    progress: Callable[[Tally], None],
) -> None:
    global _shared  # noqa: PLW0603 - what a forked worker inherits
    _shared = (dispatcher, plan)
    gc.collect()
    gc.freeze()  # or the workers' collector would touch, and so copy, every page of the bundle
    pending: dict[Future[Shard], float | None] = {}
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)

    def finish(until: int) -> None:
        while len(pending) > until:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                shard, share = future.result(), pending.pop(future)
                if share is not None:
                    tally.share = max(tally.share or 0.0, share)
                manifest.add(shard)
                tally.add(shard)
            progress(tally)

    try:
        pool.submit(_ready).result()
        for key, piece, chunk in _shards(source, plan, tally):
            raw = _raw(chunk.batch)
            digest = _digest(raw, chunk.bad)
            old = manifest.shards.get(key)
            if old is not None and old.input != digest:
                raise UsageError(
                    f"输入在两次运行之间变了：{piece} 第 {_first(chunk)} 行起与已完成的分片 {key} 不符；"
                    "请恢复原输入（数据库查询须加 ORDER BY），或加 --restart 全部重做"
                )
            if old is not None and manifest.intact(old):
                tally.add(old, resumed=True)
                tally.share = chunk.share
                progress(tally)
                continue
            carried = (list(chunk.numbers), chunk.bad)
            future = pool.submit(_do_shard, key, digest, bundle, piece, raw, carried)
            pending[future] = chunk.share
            finish(workers * _AHEAD - 1)
        finish(0)
    except BrokenProcessPool:
        raise UsageError(
            "一个工作进程被系统终止（多半是内存不足）；已完成的分片保留，"
            "请减少 --workers 后重新运行同一命令继续"
        ) from None
    except JiesuError:
        _keep_finished(pending, manifest)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        gc.unfreeze()
        _shared = None


def _keep_finished(pending: Iterable[Future[Shard]], manifest: Manifest) -> None:
    """Let the shards under way end and record them: a fault of one is none of the others."""
    running = [future for future in pending if not future.cancel()]
    for future in wait(running).done:
        if future.exception() is None:
            manifest.add(future.result())


def _first(chunk: Chunk) -> int:
    return min([*chunk.numbers[:1], *(b.row for b in chunk.bad)], default=0)


def _raw(batch: Any) -> bytes:
    """Serialise a batch: equal rows give equal bytes."""
    pa = arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    raw: bytes = sink.getvalue().to_pybytes()
    return raw


def _digest(raw: bytes, bad: tuple[BadRow, ...]) -> str:
    digest = hashlib.sha256(raw)
    for row in bad:
        digest.update(f"{row.row}\t{row.reason}\n".encode(errors="replace"))
    return digest.hexdigest()
