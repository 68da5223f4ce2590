"""One thread that writes all records: many in one commit, or to the spool while the store is away.

A decision is confirmed after its commit (or after the spool is synced), a suggestion is only handed
over and waits a moment for others to share its commit. Records keep their order, so a suggestion is
stored before the decision about it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.store.engine import insert_once, migrate
from service.store.spool import Record, Spool
from service.store.tables import SPOOLED, decision

_log = logging.getLogger("jiesu.service")
_BATCH = 500
_PROBE_SECONDS = 1.0
# A commit costs about as much for ten records as for one.
_GATHER_SECONDS = 0.02
_AWAY = (OperationalError, InterfaceError, ProgrammingError, PoolTimeout, OSError)


class Outcome(StrEnum):
    """What became of a record."""

    WRITTEN = "written"
    SPOOLED = "spooled"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(slots=True)
class _Job:
    table: str
    values: dict[str, Any]
    unless_decided: bool
    future: Future[Outcome] | None


class Writer:
    """The only writer of suggestions, decisions, shadow answers and audit lines of an instance."""

    def __init__(self, engine: Engine, spool: Spool, *, most_waiting: int = 20_000) -> None:
        self.engine = engine
        self.spool = spool
        self.written = 0
        self.spooled = 0
        self.lost = 0
        self._queue: queue.Queue[_Job | None] = queue.Queue(most_waiting)
        self._most_handed_over = most_waiting * 9 // 10
        self._urgent = threading.Event()
        self._inserts = {name: insert_once(engine, table) for name, table in SPOOLED.items()}
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._away = bool(spool)
        self._probe_at = 0.0
        # Decisions in the spool by id: a repeated request is recognised while the store is away.
        self._in_spool = {v["id"]: v["digest"] for t, v in spool.records() if t == "decision"}

    @property
    def is_away(self) -> bool:
        """Whether records go to the spool."""
        return self._away

    @property
    def waiting(self) -> int:
        """Records handed over and not yet written."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start the thread; an old spool is replayed first."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was handed over, then end."""
        self._queue.put(None)
        self._urgent.set()
        self._thread.join()

    def hand_over(self, table: str, values: dict[str, Any]) -> bool:
        """Take a record without waiting; ``False`` if too many are waiting.

        The last part of the queue is kept for decisions.
        """
        try:
            if self._queue.qsize() >= self._most_handed_over:
                raise queue.Full
            self._queue.put_nowait(_Job(table, values, False, None))
        except queue.Full:
            self.lost += 1
            return False
        return True

    def submit(
        self, table: str, values: dict[str, Any], *, unless_decided: bool = False
    ) -> Future[Outcome]:
        """Take a record; the future tells when it is safe.

        Raises
        ------
        queue.Full
            If far too many are waiting.
        """
        future: Future[Outcome] = Future()
        self._queue.put_nowait(_Job(table, values, unless_decided, future))
        self._urgent.set()
        return future

    def _run(self) -> None:
        running = True
        while running:
            jobs: list[_Job] = []
            try:
                first = self._queue.get(timeout=_PROBE_SECONDS)
            except queue.Empty:
                self._try_replay()
                continue
            if first is not None and first.future is None:
                self._urgent.wait(_GATHER_SECONDS)
            # Before the rest is taken: what is put in later sets it again.
            self._urgent.clear()
            item: _Job | None = first
            while True:
                if item is None:
                    running = False
                    break
                jobs.append(item)
                if len(jobs) >= _BATCH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            try:
                self._settle(jobs)
            except Exception as fault:
                _log.exception("writer")
                for job in jobs:
                    if job.future is not None and not job.future.done():
                        job.future.set_exception(fault)
        self._try_replay()

    def _settle(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        self._try_replay()
        if not self._away:
            try:
                outcomes = self._commit(jobs)
            except _AWAY as fault:
                _log.warning("store away, spooling: %s", type(fault).__name__)
                self._away = True
                self._probe_at = time.monotonic() + _PROBE_SECONDS
            except SQLAlchemyError:
                self._one_by_one(jobs)
                return
            else:
                self.written += len(jobs)
                _resolve(jobs, outcomes)
                return
        self._put_aside(jobs)

    def _put_aside(self, jobs: Sequence[_Job]) -> None:
        outcomes = []
        fresh: list[Record] = []
        ids: dict[str, str] = {}
        for job in jobs:
            known = self._in_spool.get(job.values["id"]) or ids.get(job.values["id"])
            if job.table == "decision" and known is not None:
                same = known == job.values["digest"]
                outcomes.append(Outcome.REPEATED if same else Outcome.CONFLICT)
                continue
            if job.table == "decision":
                ids[job.values["id"]] = job.values["digest"]
            fresh.append((job.table, job.values))
            outcomes.append(Outcome.SPOOLED)
        try:
            if fresh:
                self.spool.append(fresh)
        except OSError as fault:
            self.lost += len(fresh)
            for job in jobs:
                if job.future is not None:
                    job.future.set_exception(fault)
            return
        self._in_spool.update(ids)
        self.spooled += len(fresh)
        _resolve(jobs, outcomes)

    def _one_by_one(self, jobs: Sequence[_Job]) -> None:
        """Find the record that the database refuses, and keep the others."""
        for job in jobs:
            try:
                outcomes = self._commit([job])
                self.written += 1
            except _AWAY:
                self._away = True
                self._put_aside([job])
                continue
            except SQLAlchemyError:
                _log.exception("store refuses a record of %s", job.table)
                self.spool.reject([(job.table, job.values)])
                outcomes = [Outcome.REFUSED]
            _resolve([job], outcomes)

    def _commit(self, jobs: Sequence[_Job]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self.engine.begin() as connection:
            rows: dict[str, list[dict[str, Any]]] = {}
            for job in jobs:
                if job.table != "decision":
                    rows.setdefault(job.table, []).append(job.values)
            for table, values in rows.items():
                self._insert(connection, table, values)
            for job in jobs:
                outcomes.append(
                    self._decide(connection, job) if job.table == "decision" else Outcome.WRITTEN
                )
        return outcomes

    def _insert(self, connection: Connection, table: str, values: list[dict[str, Any]]) -> int:
        return connection.execute(self._inserts[table], values).rowcount

    def _decide(self, connection: Connection, job: _Job) -> Outcome:
        values = job.values
        known = connection.execute(
            select(decision.c.digest).where(decision.c.id == values["id"])
        ).scalar()
        if known is not None:
            return Outcome.REPEATED if known == values["digest"] else Outcome.CONFLICT
        if job.unless_decided:
            taken = connection.execute(
                select(decision.c.id)
                .where(decision.c.suggestion_id == values["suggestion_id"])
                .where(decision.c.demand == values["demand"])
                .limit(1)
            ).first()
            if taken is not None:
                return Outcome.TAKEN
        if self._insert(connection, "decision", [values]) == 0:
            # Another instance wrote it between our look and our insert.
            return Outcome.REPEATED
        return Outcome.WRITTEN

    def _try_replay(self) -> None:
        """Write the spool to the database, if it answers again."""
        if not self._away or time.monotonic() < self._probe_at:
            return
        self._probe_at = time.monotonic() + _PROBE_SECONDS
        try:
            migrate(self.engine)
            while self.spool:
                records = self.spool.waiting()
                for start in range(0, len(records), _BATCH):
                    self._replay(records[start : start + _BATCH])
                self.spool.done()
                if records:
                    _log.warning("replayed %d spooled records", len(records))
        except _AWAY:
            return
        except Exception:
            # Whatever it is, decisions must go on being taken: they stay in the spool.
            _log.exception("the spool cannot be written to the store")
            return
        self._in_spool.clear()
        self._away = False

    def _replay(self, records: Sequence[Record]) -> None:
        try:
            with self.engine.begin() as connection:
                for table, values in records:
                    self._insert(connection, table, [dict(values)])
        except _AWAY:
            raise
        except DBAPIError:
            if len(records) > 1:
                for record in records:
                    self._replay([record])
            else:
                self.spool.reject(records)


def _resolve(jobs: Sequence[_Job], outcomes: Sequence[Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.future is not None:
            job.future.set_result(outcome)
