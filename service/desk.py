"""Answer short tickets on a thread of its own, together with those that came while it was busy.

Among eight tickets one costs half of what it costs alone: the more there is to do, the less each costs,
so that a rush is answered rather than refused. Computing in the event loop itself would save another
twentieth, but an encoder would make it stand still.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.suggestion import Suggestion
from jiesu_nlp.ticket import Ticket
from service.models import LoadedModel, ModelHost

# Longer ones go elsewhere, so that nobody waits long for another's ticket.
MOST_CHARACTERS = 500
# More would make the first of them wait longer for little gain.
_MOST_TOGETHER = 8
Finish = Callable[[LoadedModel, Suggestion], bytes]


@dataclass(frozen=True, slots=True)
class _Question:
    ticket: Ticket
    finish: Finish
    answer: asyncio.Future[bytes]


class Desk:
    """One thread, and the short tickets that wait for it."""

    def __init__(self, models: ModelHost) -> None:
        self._models = models
        self._waiting: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is waiting, then end."""
        self._waiting.put(None)
        self._thread.join()

    async def ask(self, ticket: Ticket, finish: Finish) -> bytes:
        """Return what ``finish`` makes, on the desk's thread, of the suggestion for a ticket."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Question(ticket, finish, answer))
        return await answer

    def _run(self) -> None:
        running = True
        while running:
            asked: list[_Question] = []
            item = self._waiting.get()
            with contextlib.suppress(queue.Empty):
                while item is not None:
                    asked.append(item)
                    if len(asked) == _MOST_TOGETHER:
                        break
                    item = self._waiting.get_nowait()
            running = item is not None
            if asked:
                self._answer(asked)

    def _answer(self, asked: Sequence[_Question]) -> None:
        model = self._models.active
        found = _suggestions(model.dispatcher, [q.ticket for q in asked])
        answers = [
            (question.answer, _finished(question.finish, model, suggestion))
            for question, suggestion in zip(asked, found, strict=True)
        ]
        # The loop is closed if a shutdown did not wait for these.
        with contextlib.suppress(RuntimeError):
            asked[0].answer.get_loop().call_soon_threadsafe(_hand_out, answers)


def _suggestions(
    dispatcher: Dispatcher, tickets: Sequence[Ticket]
) -> Sequence[Suggestion | Exception]:
    try:
        if len(tickets) > 1:
            return list(dispatcher.suggest_many(tickets))
        return [dispatcher.suggest(tickets[0])]
    except Exception as fault:
        if len(tickets) == 1:
            return [fault]
    # One of them is at fault; the others get their answers.
    return [_suggestions(dispatcher, [ticket])[0] for ticket in tickets]


def _finished(
    finish: Finish, model: LoadedModel, suggestion: Suggestion | Exception
) -> bytes | Exception:
    if isinstance(suggestion, Exception):
        return suggestion
    try:
        return finish(model, suggestion)
    except Exception as fault:
        return fault


def _hand_out(answers: Sequence[tuple[asyncio.Future[bytes], bytes | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # Whoever asked has gone.
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
