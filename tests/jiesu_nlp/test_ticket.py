from __future__ import annotations

import pytest

from jiesu_nlp.errors import UsageError
from jiesu_nlp.ticket import Ticket, ticket_of


@pytest.mark.parametrize(
    ("stamp", "month"),
    [
        ("2026-11-20T08:00:00", 11),
        ("2026/01/02", 1),
        ("2026/1/5", 1),
        ("2026/1/5 9:30:00", 1),
        ("2026-1-05", 1),
        (" 2026.11.5", 11),
        ("2026年11月5日", 11),
        ("2026年1月5日上午9时", 1),
        ("20260704", 7),
        ("20260704T0930", 7),
        ("20260704093000", 7),
        ("2026-11", 11),
        ("2026/11", 11),
        ("2026/1 ", 1),
        ("202611", 11),
        ("2026年11月", 11),
        ("202613", None),
        ("20261", None),
        ("2026-00", None),
        ("2026-111", None),
        ("2026-11-", None),
        # Of a spreadsheet's number, 2026.10 would be 2026.1.
        ("2026.1", None),
        ("1700100000", None),
        ("1763049600000", None),
        ("2026-①1-02", None),
        ("2026-1²-02", None),
        ("2026-11/05", None),
        ("2026-13-01", None),
        ("2026-02-30", None),
        ("5/1/2026", None),
        ("昨天", None),
        (None, None),
    ],
)
def test_month_of_usual_stamps(stamp, month):
    assert Ticket("路灯不亮", created_at=stamp).month == month


def test_a_lone_surrogate_is_replaced_in_every_field():
    ticket = Ticket("路灯\ud83d不亮", id="7\udc00", address="望京\ud83d", channel="热线")
    assert ticket == Ticket("路灯\ufffd不亮", id="7\ufffd", address="望京\ufffd", channel="热线")


def test_numbers_beside_the_text_lose_no_ticket():
    ticket = ticket_of({"text": "路灯不亮", "requester": 13800001234, "created_at": 20261120})
    assert ticket.requester == "13800001234"
    assert ticket.month == 11
    assert ticket_of({"text": "路灯不亮", "created_at": 1763049600000}).month is None


def test_numbers_become_ids_and_unknown_fields_are_ignored():
    ticket = ticket_of({"text": "路灯不亮", "id": 42, "colour": "red"})
    assert ticket == Ticket("路灯不亮", id="42")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "缺少字段 text"),
        ({"text": None}, "缺少字段 text"),
        ({"text": 7}, "text"),
        ({"text": "a", "channel": ["热线"]}, "channel"),
        ({"text": "a", "id": True}, "id"),
    ],
)
def test_what_is_no_ticket_object_names_the_field(row, message):
    with pytest.raises(UsageError, match=message):
        ticket_of(row)
