from __future__ import annotations

import pytest

from jiesu_nlp.errors import UsageError
from jiesu_nlp.ticket import Ticket, ticket_of


@pytest.mark.parametrize(
    ("stamp", "month"),
    [
        ("2026-11-20T08:00:00", 11),
        ("2026/01/02", 1),
        ("20260704", 7),
        ("2026-13-01", None),
        ("昨天", None),
        (None, None),
    ],
)
def test_month_of_usual_stamps(stamp, month):
    assert Ticket("路灯不亮", created_at=stamp).month == month


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
