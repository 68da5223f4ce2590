"""The local engine: one reader, forked workers over shards, a manifest to restart from.

The reader cuts the input into shards, always the same ones. Workers share the loaded bundle's
memory, answer a shard and write its files; the reader records each finished shard. A restart reads
the input again, compares checksums and does what is missing.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jiesu_nlp.batch.extras import arrow
from jiesu_nlp.batch.manifest import Manifest, Shard
from jiesu_nlp.batch.rows import BadRow, answer_batch, output_schema
from jiesu_nlp.batch.run import Plan, Start, Tally, opened
from jiesu_nlp.batch.sink import write_shard
from jiesu_nlp.batch.source import Chunk, Source, UnreadableError
from jiesu_nlp.batch.verdicts import patch, read_saved
from jiesu_nlp.errors import JiesuError, UsageError

if TYPE_CHECKING:
    from jiesu_nlp.dispatcher import Dispatcher

_AHEAD = 2
_KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def relabel(
    source: Source,
    dispatcher: Dispatcher,
    plan: Plan,
    start: Start,
    *,
    workers: int,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Answer all rows of a source into the plan's output, or finish doing so.

    Parameters
    ----------
    source, dispatcher, plan, start
        What, by which bundle, how, and from where on.
    workers
        Processes.
    progress
        Called after every shard.

    Raises
    ------
    UsageError
        If the folder holds something else, the input changed, or the disk refuses.
    BundleError
        If the bundle changed since the run began.
    """
    with opened(source, plan, start, engine="local") as (manifest, tally):
        if plan.table is not None:
            schema = output_schema(source.schema, plan.task)
            plan.table.prepare(schema, plan.task.prefix, manifest.run, restart=start.restart)
        _run(source, dispatcher, plan, manifest, start.bundle, workers, tally, progress)
        return tally


# --- workers --------------------------------------------------------------------------------------

_shared: tuple[Dispatcher, Plan, str] | None = None


def _start_worker() -> None:
    """Go with the parent, whatever kills it; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)
    arrow().set_cpu_count(1)


def _ready() -> int:
    """Answer the first call, upon which all workers are forked: before the reading begins."""
    return os.getpid()


def _do_shard(
    key: str, digest: str, bundle: str, source: str, raw: bytes, chunk: tuple[Any, ...]
) -> Shard:
    assert _shared is not None
    dispatcher, plan, run = _shared
    numbers, bad = chunk
    pa = arrow()
    with pa.ipc.open_stream(raw) as stream:
        batch = stream.read_next_batch()
    answered = answer_batch(
        dispatcher, batch, plan.task, source=source, numbers=numbers, unread=bad
    )
    answered = replace(
        answered, table=patch(answered.table, read_saved(plan.output, key), plan.task)
    )
    if plan.table is not None:
        plan.table.write(key, digest, run, plan.task.prefix, answered.table)
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
    _shared = (dispatcher, plan, manifest.run)
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
        stored = {} if plan.table is None else plan.table.stored(manifest.run)
        for key, piece, chunk in _shards(source, plan, tally):
            raw = _raw(chunk.batch)
            digest = _digest(raw, chunk.bad)
            old = manifest.shards.get(key)
            if old is not None and old.input != digest:
                raise UsageError(
                    f"输入在两次运行之间变了：{piece} 第 {_first(chunk)} 行起与已完成的分片 {key} 不符；"
                    "请恢复原输入（数据库查询须加 ORDER BY），或加 --restart 全部重做"
                )
            whole = plan.table is None or (old is not None and stored.get(key) == old.input)
            if old is not None and whole and manifest.intact(old):
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
