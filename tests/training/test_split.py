import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jiesu_nlp.errors import UsageError
from training.split import split_tickets
from training.tickets import LabelledTicket

CHARACTERS = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"


def sentence(rng: random.Random, length: int = 60) -> str:
    return "".join(rng.choices(CHARACTERS, k=length))


def ticket(text: str, day: int | None) -> LabelledTicket:
    stamp = None if day is None else f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}T00:00:00"
    return LabelledTicket(text, ("01-01-001",), created_at=stamp)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), min_size=1, max_size=60))
def test_a_repeated_complaint_never_sits_on_both_sides(pairs):
    rng = random.Random(1)
    matters = [sentence(rng) for _ in range(31)]
    tickets = [ticket(f"{matters[m]}，第{day}次", day) for m, day in pairs]
    split = split_tickets(tickets, calibrate=0.2, test=0.2)
    parts = (split.train, split.calibrate, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(tickets)))
    sides = [{pairs[i][0] for i in part} for part in parts]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_the_last_tickets_are_held_out():
    rng = random.Random(2)
    tickets = [ticket(sentence(rng), day) for day in range(100)]
    rng.shuffle(tickets)
    split = split_tickets(tickets)
    assert split.by_time
    last_trained = max(tickets[i].created_at for i in split.train)
    first_calibrated = min(tickets[i].created_at for i in split.calibrate)
    assert last_trained < first_calibrated
    assert max(tickets[i].created_at for i in split.calibrate) < split.test_from
    assert (len(split.train), len(split.calibrate), len(split.test)) == (80, 10, 10)


def test_a_repeat_follows_its_earliest_ticket():
    rng = random.Random(3)
    tickets = [ticket(sentence(rng), day) for day in range(50)]
    tickets.append(ticket(tickets[0].text + "，又来反映", 60))
    split = split_tickets(tickets)
    assert 50 in split.train
    assert split.repeated == 2


def test_undated_tickets_are_trained_on_if_others_have_dates():
    rng = random.Random(4)
    tickets = [ticket(sentence(rng), None if i % 4 == 0 else i) for i in range(80)]
    split = split_tickets(tickets)
    assert split.by_time
    assert all(tickets[i].created_at for i in (*split.test, *split.calibrate))


def test_without_dates_the_split_is_random_and_repeatable():
    rng = random.Random(5)
    tickets = [ticket(sentence(rng), None) for _ in range(100)]
    first, second, other = (split_tickets(tickets, seed=s) for s in (0, 0, 1))
    assert not first.by_time
    assert (first.test == second.test).all()
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize(("calibrate", "test"), [(0.5, 0.5), (-0.1, 0.1), (1.0, 0.0)])
def test_impossible_shares(calibrate, test):
    with pytest.raises(UsageError):
        split_tickets([], calibrate=calibrate, test=test)
