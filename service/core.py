"""The parts of one running instance and what it does with a ticket, apart from HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import logging
import queue
import sys
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, TypeVar

from pydantic_core import to_json
from sqlalchemy.exc import SQLAlchemyError

from jiesu_nlp.errors import UsageError
from jiesu_nlp.suggestion import Suggestion
from jiesu_nlp.ticket import Ticket
from service.access import Access, Principal
from service.desk import MOST_CHARACTERS, Desk
from service.limits import Buckets
from service.metrics import Metrics
from service.models import LoadedModel, ModelHost
from service.problems import Problem
from service.records import fingerprint, pseudonym, redacted, suggestion_row
from service.settings import Settings
from service.store.engine import migrate, open_engine
from service.store.queries import Brief, brief_of, read_answer, read_brief
from service.store.spool import Spool
from service.store.tables import new_id, stamp
from service.store.writer import Outcome, Writer
from service.webhook import Webhook

_log = logging.getLogger("jiesu.service")
_NAMESPACE = uuid.UUID("6f0b2a52-6a5e-4f7e-9d0c-3d8a4f1c7b10")
_RECENT = 5_000
_SHADOW_WAITING = 200
_FOLLOW_SECONDS = 3.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an operator decided about one demand of a suggestion."""

    suggestion_id: str
    demand: int
    kind: str
    code: str | None
    unit_code: str | None
    unit: str | None
    reason: str | None
    unless_decided: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """The id that an idempotency key stands for, and the digest of what is asked under it."""

    id: str
    digest: str


class Service:
    """One instance: settings, store, writer, access, models; made by :func:`service.run.run`."""

    def __init__(self, settings: Settings, models: ModelHost) -> None:
        self.settings = settings
        self.models = models
        self.engine = open_engine(settings.database_url)
        self._lock = _own(settings)
        self.writer = Writer(self.engine, Spool(settings.data / "spool"))
        self.access = Access(self.engine, session_hours=settings.session_hours)
        self.webhook = None
        if settings.webhook_url:
            self.webhook = Webhook(
                self.engine, settings.webhook_url, settings.webhook_secret, settings.data
            )
        self.metrics = Metrics()
        self.buckets = Buckets(settings.rate)
        # By client and name against guessing, by client against the work of hashing.
        self.log_ins = Buckets(rate=5 / 60, burst=8)
        self.log_ins_of_client = Buckets(rate=1, burst=30)
        self.in_flight = 0
        self.faults: list[str] = []
        self._desk = Desk(models)
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="suggest")
        self._recent: OrderedDict[str, Brief] = OrderedDict()
        self._shadow_queue: queue.Queue[tuple[str, Ticket, Suggestion] | None] = queue.Queue(
            _SHADOW_WAITING
        )
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Bring the store up to date if it answers, then start the background threads."""
        # The event loop must get its turn while a worker computes.
        sys.setswitchinterval(0.0005)
        try:
            migrate(self.engine)
        except (SQLAlchemyError, OSError) as fault:
            _log.warning("store away at start: %s", type(fault).__name__)
        self.access.refresh(force=True)
        self.writer.start()
        self._desk.start()
        works = [self._follow, self._shadow]
        if self.webhook is not None:
            works.append(partial(self.webhook.run, self._stopping))
        for work in works:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Finish what is under way: answers, then records, then the threads."""
        self._stopping.set()
        self._desk.stop()
        self._workers.shutdown(wait=True)
        with contextlib.suppress(queue.Full):
            self._shadow_queue.put_nowait(None)
        for thread in self._threads:
            thread.join(timeout=10)
        self.writer.stop()
        self.engine.dispose()
        self._lock.close()

    # Suggestions.

    @contextlib.contextmanager
    def _under_way(self, cost: int) -> Iterator[None]:
        if self.in_flight + cost > max(self.settings.most_in_flight, cost):
            self.metrics.refused.inc()
            raise Problem(503, "overload", "当前请求过多，请稍后重试", retry_after=1)
        self.in_flight += cost
        try:
            yield
        finally:
            self.in_flight -= cost

    async def compute(self, work: Callable[[], T], *, cost: int = 1) -> T:
        """Run work on the bounded pool.

        Raises
        ------
        Problem
            503 with ``Retry-After`` if too much is under way.
        """
        with self._under_way(cost):
            return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    async def suggest(
        self,
        ticket: Ticket,
        who: Principal,
        *,
        source: str,
        key: str | None = None,
        preview: bool = False,
    ) -> bytes:
        """Return the answer to a ticket as JSON, and record it (a preview is not recorded).

        What was asked before under the same key gets the answer it got then.

        Raises
        ------
        Problem
            409 if another ticket was asked under the key, 503 with ``Retry-After`` if too much is
            under way.
        """
        # While none is loaded, this raises here, where the request hears of it.
        model = self.models.active
        asked = None
        if key and not preview:
            asked = _Asked(self.keyed_id(who, key), fingerprint(self.settings.secret, ticket))
            known = await asyncio.to_thread(self._earlier, asked.id)
            if known is not None:
                answer, digest = known
                # Nothing is known of what was asked before there were digests.
                if digest is not None and digest != asked.digest:
                    raise _key_reused()
                return answer.encode()
        finish = partial(self._keep, ticket, who=who, source=source, asked=asked, preview=preview)
        if len(ticket.text) > MOST_CHARACTERS:
            return await self.compute(
                lambda: finish(model, model.dispatcher.suggest(ticket)),
                cost=1 + len(ticket.text) // 2_000,
            )
        with self._under_way(1):
            return await self._desk.ask(ticket, finish)

    async def suggest_many(
        self, tickets: Sequence[Ticket], who: Principal, *, source: str
    ) -> list[bytes]:
        """Return the answers to many tickets, in order, and record them.

        Raises
        ------
        Problem
            503 with ``Retry-After`` if too much is under way.
        """
        model = self.models.active

        def work() -> list[bytes]:
            suggestions = model.dispatcher.suggest_many(tickets)
            return [
                self._keep(ticket, model, suggestion, who=who, source=source)
                for ticket, suggestion in zip(tickets, suggestions, strict=True)
            ]

        return await self.compute(work, cost=1 + len(tickets) // 4)

    def _keep(
        self,
        ticket: Ticket,
        model: LoadedModel,
        suggestion: Suggestion,
        *,
        who: Principal,
        source: str,
        asked: _Asked | None = None,
        preview: bool = False,
    ) -> bytes:
        answer = suggestion.to_dict()
        if preview:
            return to_json({**answer, "suggestion_id": None})
        identity, digest = (asked.id, asked.digest) if asked else (new_id(), None)
        answer["suggestion_id"] = identity
        # Written out once, for the store and for the client.
        text = to_json(answer)
        values = suggestion_row(
            self.settings.secret,
            identity,
            ticket,
            suggestion,
            text.decode(),
            who.actor,
            source,
            digest,
        )
        # The other ticket under the key may not be in the store yet.
        if self._remember(brief_of(values, answer)).digest != digest:
            raise _key_reused()
        if not self.writer.hand_over("suggestion", values):
            _log.warning("store queue is full, a suggestion is not recorded")
        self.metrics.suggestions.labels(suggestion.demands[0].decision).inc()
        if self.models.shadow is not None:
            try:
                self._shadow_queue.put_nowait((identity, ticket, suggestion))
            except queue.Full:
                self.metrics.shadow_skipped.inc()
        return text

    def pseudonym(self, requester: str | None) -> str | None:
        """Return the keyed digest under which a requester is recognised."""
        return pseudonym(self.settings.secret, requester)

    def keyed_id(self, who: Principal, key: str) -> str:
        """Return the id of what this client asks under an idempotency key."""
        return uuid.uuid5(_NAMESPACE, f"{who.actor}\n{key}").hex

    def _earlier(self, identity: str) -> tuple[str, str | None] | None:
        """Return the stored answer of an earlier request; nothing if the store is away."""
        try:
            return read_answer(self.engine, identity)
        except (SQLAlchemyError, OSError):
            return None

    def _remember(self, brief: Brief) -> Brief:
        """Return what is remembered under the id: the first there was."""
        first = self._recent.setdefault(brief.id, brief)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return first

    async def brief(self, identity: str) -> Brief | None:
        """Return what is known of a suggestion; ``None`` if there is none of that id."""
        known = self._recent.get(identity)
        if known is None:
            known = await asyncio.to_thread(read_brief, self.engine, identity)
        return known

    # Decisions.

    async def decide(self, verdict: Verdict, who: Principal, key: str) -> tuple[str, Outcome]:
        """Record a decision; returns once it is safe on disk.

        Raises
        ------
        Problem
            404 for an unknown suggestion, 409 where a key or a ticket is taken, 503 where neither
            the store nor the disk takes it.
        """
        try:
            brief = await self.brief(verdict.suggestion_id)
        except (SQLAlchemyError, OSError):
            brief = Brief.unknown(verdict.suggestion_id)
        if brief is None:
            raise Problem(404, "unknown-suggestion", "没有这条派单建议；请重新取得建议后再提交")
        if brief.demands and verdict.demand >= len(brief.demands):
            raise Problem(422, "invalid", f"这件工单只有 {len(brief.demands)} 个诉求")
        values = self._decision_row(verdict, brief, who, key)
        try:
            future = self.writer.submit("decision", values, unless_decided=verdict.unless_decided)
            outcome = await asyncio.wait_for(asyncio.wrap_future(future), timeout=30)
        except (OSError, TimeoutError, queue.Full):
            raise Problem(
                503, "not-stored", "处理结果没有存下来，请用同一个幂等键重试", retry_after=2
            ) from None
        if outcome is Outcome.CONFLICT:
            raise Problem(409, "key-reused", "同一个幂等键已用于另一个处理结果；请换一个键")
        if outcome is Outcome.TAKEN:
            raise Problem(409, "already-decided", "这件诉求刚刚已由他人处理；请刷新后查看")
        if outcome is Outcome.REFUSED:
            raise Problem(422, "refused", "存储不接受这条处理结果，请检查内容")
        if outcome is not Outcome.REPEATED:
            self.metrics.decisions.labels(verdict.kind).inc()
        return values["id"], outcome

    def _decision_row(
        self, verdict: Verdict, brief: Brief, who: Principal, key: str
    ) -> dict[str, Any]:
        suggested = brief.demands[verdict.demand] if brief.demands else None
        code, unit, unit_code = verdict.code, verdict.unit, verdict.unit_code
        if suggested is not None and verdict.kind in ("accepted", "overruled", "changed"):
            code = code or suggested.codes[0]
            if unit is None and unit_code is None:
                unit, unit_code = suggested.unit, suggested.unit_code
        rank = None
        if suggested is not None and code is not None:
            rank = suggested.codes.index(code) + 1 if code in suggested.codes else 0
        asked = [
            verdict.suggestion_id,
            verdict.demand,
            verdict.kind,
            verdict.code,
            verdict.unit_code,
            verdict.unit,
            verdict.reason,
        ]
        return {
            "id": self.keyed_id(who, "decision\n" + key),
            "created_at": stamp(),
            "suggestion_id": verdict.suggestion_id,
            "demand": verdict.demand,
            "kind": verdict.kind,
            "code": code,
            "unit_code": unit_code,
            "unit": unit,
            "reason": redacted(verdict.reason),
            "actor": who.actor,
            "suggested_code": suggested.codes[0] if suggested else None,
            "suggested_unit": suggested.unit if suggested else None,
            "district": brief.district,
            "model": brief.model,
            "confidence": suggested.confidence if suggested else None,
            "advice": suggested.advice if suggested else None,
            "rank": rank,
            "digest": hashlib.sha256(json.dumps(asked).encode()).hexdigest(),
        }

    def audit(self, actor: str, action: str, detail: str = "", peer: str | None = None) -> None:
        """Write a line of the audit log."""
        self.writer.hand_over(
            "audit",
            {
                "id": new_id(),
                "created_at": stamp(),
                "actor": actor,
                "action": action,
                "detail": detail[:2000],
                "peer": peer,
            },
        )

    # Background.

    def _follow(self) -> None:
        while not self._stopping.wait(_FOLLOW_SECONDS):
            self.access.refresh()
            fault = self.models.follow()
            if fault is not None and fault not in self.faults:
                _log.error("%s", fault)
                self.faults = [*self.faults[-4:], fault]

    def _shadow(self) -> None:
        while (item := self._shadow_queue.get()) is not None:
            model = self.models.shadow
            if model is None or self._stopping.is_set():
                continue
            identity, ticket, active = item
            try:
                other = model.dispatcher.suggest(ticket)
            except Exception:
                _log.exception("shadow model")
                continue
            ours, theirs = active.demands[0], other.demands[0]
            self.writer.hand_over(
                "shadow",
                {
                    "id": new_id(),
                    "created_at": stamp(),
                    "suggestion_id": identity,
                    "model": other.versions.model,
                    "active_model": active.versions.model,
                    "code": theirs.categories[0].code,
                    "unit": theirs.unit.name,
                    "confidence": theirs.confidence,
                    "same_code": theirs.categories[0].code == ours.categories[0].code,
                    "same_unit": theirs.unit.name == ours.unit.name,
                },
            )
            # The shadow must not take the turn of a waiting operator.
            time.sleep(0.001)


def _key_reused() -> Problem:
    return Problem(
        409,
        "key-reused",
        "同一个幂等键已用于另一件诉求；请换一个键（重试时诉求的各项须与首次相同）",
    )


def _own(settings: Settings) -> IO[str]:
    """Make sure that no other instance uses the data folder."""
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (settings.data / "lock").open("w")
    except OSError as fault:
        raise UsageError(f"数据文件夹不可写：{settings.data}（{fault.strerror}）") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(
            f"另一个实例正在使用数据文件夹 {settings.data}；每个实例用 JIESU_DATA 指定各自的文件夹"
        ) from None
    return lock


def health_of(service: Service) -> Mapping[str, Any]:
    """Return what ``/readyz`` says."""
    model = service.models.active
    return {
        "status": "ready",
        "model": model.dispatcher.versions.model,
        "store": "spooling" if service.writer.is_away else "ok",
        "waiting": service.writer.waiting,
    }
