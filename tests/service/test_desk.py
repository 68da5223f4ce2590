"""Short tickets are answered together; each gets its own answer, whatever becomes of the others."""

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from service.desk import MOST_CHARACTERS, Desk
from service.store.tables import suggestion

TEXT = "丰台区方庄芳古园一区门口路灯坏了半个月没人修"


class Watched:
    """A dispatcher that notes how many tickets it was given at a time, and fails at some."""

    def __init__(self, dispatcher, bad=()):
        self.dispatcher = dispatcher
        self.bad = bad
        self.together = []

    def suggest(self, ticket):
        return next(self.suggest_many([ticket]))

    def suggest_many(self, tickets):
        self.together.append(len(tickets))
        if any(t.id in self.bad for t in tickets):
            raise RuntimeError("bad ticket")
        return self.dispatcher.suggest_many(tickets)


@pytest.fixture
def watched(models, dispatcher):
    models._active = dataclasses.replace(models.active, dispatcher=Watched(dispatcher))
    return models.active.dispatcher


def answers(models, count, finish=lambda _, found: found.id.encode()):
    from jiesu_nlp.ticket import Ticket

    desk = Desk(models)

    async def ask():
        tickets = [Ticket(text=f"{i} 号楼门口路灯不亮", id=f"T{i}") for i in range(count)]
        asked = [asyncio.create_task(desk.ask(t, finish)) for t in tickets]
        # All of them wait before the desk opens.
        await asyncio.sleep(0)
        desk.start()
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

    found = asyncio.run(ask())
    desk.stop()
    return found


def test_what_arrives_together_is_answered_together_each_with_its_own(models, watched):
    assert answers(models, 5) == [b"T0", b"T1", b"T2", b"T3", b"T4"]
    assert watched.together == [5]


def test_a_rush_is_answered_in_parts(models, watched):
    assert answers(models, 50) == [f"T{i}".encode() for i in range(50)]
    assert sum(watched.together) == 50
    assert max(watched.together) < 50


def test_one_at_fault_leaves_the_others_their_answers(models, watched):
    watched.bad = ("T2",)
    found = answers(models, 4)
    assert [found[0], found[1], found[3]] == [b"T0", b"T1", b"T3"]
    assert isinstance(found[2], RuntimeError)


def test_what_cannot_be_finished_is_told_to_who_asked(models, watched):
    def finish(_, found):
        if found.id == "T1":
            raise ValueError("cannot be kept")
        return b"kept"

    found = answers(models, 3, finish)
    assert [found[0], found[2]] == [b"kept", b"kept"]
    assert isinstance(found[1], ValueError)


def test_who_has_gone_is_passed_over(models, watched):
    from jiesu_nlp.ticket import Ticket

    desk = Desk(models)

    def finish(_, found):
        return found.id.encode()

    async def ask():
        gone = asyncio.create_task(desk.ask(Ticket(TEXT, id="a"), finish))
        stays = asyncio.create_task(desk.ask(Ticket(TEXT, id="b"), finish))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        desk.start()
        return await asyncio.wait_for(stays, 30)

    assert asyncio.run(ask()) == b"b"
    desk.stop()


def test_what_waits_is_answered_before_the_desk_closes(models, watched):
    from jiesu_nlp.ticket import Ticket

    desk = Desk(models)

    async def ask():
        asked = [
            asyncio.create_task(desk.ask(Ticket(TEXT, id=str(i)), lambda _, found: b"kept"))
            for i in range(20)
        ]
        await asyncio.sleep(0)
        desk.start()
        await asyncio.to_thread(desk.stop)
        return await asyncio.wait_for(asyncio.gather(*asked), 30)

    assert asyncio.run(ask()) == [b"kept"] * 20


def test_many_at_once_are_each_answered_and_stored_once(running):
    texts = [f"{i} 号楼门口路灯不亮" for i in range(40)]
    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda text: running.suggest(text, id=text), texts))
    assert [m["id"] for m in made] == texts
    assert [m["redacted_text"] for m in made] == texts
    running.settle()
    with running.service.engine.connect() as c:
        stored = set(c.execute(select(suggestion.c.id)).scalars())
        count = c.execute(select(func.count()).select_from(suggestion)).scalar()
    assert stored == {m["suggestion_id"] for m in made}
    assert count == 40


@pytest.mark.parametrize("length", [len(TEXT), MOST_CHARACTERS, MOST_CHARACTERS + 1])
def test_what_is_answered_is_what_is_stored_short_or_long(running, length):
    text = (TEXT * 100)[:length]
    made = running.suggest(text, id="“1”\n")
    assert made["redacted_text"] == text
    running.settle()
    found = running.call("GET", f"/v1/suggestions/{made['suggestion_id']}").json()
    assert found["answer"] == made


def test_a_long_text_takes_more_of_what_may_be_under_way(running):
    service = running.service
    service.in_flight = service.settings.most_in_flight - 2
    answer = running.call("POST", "/v1/suggestions", json={"text": TEXT * 1000})
    assert answer.status_code == 503
    assert running.suggest(TEXT)
    service.in_flight = 0
    assert running.suggest(TEXT * 1000)
