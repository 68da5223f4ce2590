"""Dates of validity: rules and units come into force and expire."""

from __future__ import annotations

from datetime import date


def iso_date(text: str) -> date | None:
    """Return the date of ``YYYY-MM-DD``, ``None`` if it is none."""
    try:
        return date.fromisoformat(text) if len(text) == len("2026-01-31") else None
    except ValueError:
        return None


def in_force(valid_from: str, valid_to: str, on: str | None = None) -> bool:
    """Whether a period (ISO dates, both ends included, empty means open) holds on a date.

    Parameters
    ----------
    valid_from, valid_to
        First and last day.
    on
        The date; today by default.
    """
    if not valid_from and not valid_to:
        return True
    day = on or date.today().isoformat()
    return (not valid_from or valid_from <= day) and (not valid_to or day <= valid_to)
