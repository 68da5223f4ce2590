"""Answer many tickets with all cores; order is kept and little is in flight at a time.

Worker processes are forked, so they share the loaded bundle's memory instead of loading their own.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from jiesu_nlp.suggestion import Suggestion
from jiesu_nlp.ticket import Ticket

if TYPE_CHECKING:
    from jiesu_nlp.dispatcher import Dispatcher

_AHEAD = 3
_dispatcher: Dispatcher | None = None


def _answer(batch: list[Ticket], evidence: bool) -> list[Suggestion]:
    assert _dispatcher is not None
    return list(_dispatcher.suggest_many(batch, batch_size=len(batch), evidence=evidence))


def suggest_parallel(
    dispatcher: Dispatcher,
    tickets: Iterable[Ticket],
    *,
    workers: int,
    batch_size: int,
    evidence: bool,
) -> Iterator[Suggestion]:
    """Yield one suggestion per ticket, in order, from ``workers`` processes."""
    global _dispatcher  # noqa: PLW0603 - what a forked worker inherits
    _dispatcher = dispatcher
    source = iter(tickets)
    pending: deque[Future[list[Suggestion]]] = deque()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            while batch := list(islice(source, batch_size)):
                pending.append(pool.submit(_answer, batch, evidence))
                if len(pending) >= workers * _AHEAD:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
