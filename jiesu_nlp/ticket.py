"""A ticket as it comes in."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jiesu_nlp.errors import UsageError

TEXT_LIMIT = 100_000
_FIELDS: Final = ("text", "id", "channel", "created_at", "requester", "address")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# 2026-11-05, 2026/11/5, 2026.11.5, 2026年11月5日, 20261105; a time of day may follow. So many digits
# as those of seconds since 1970 are no date.
_DAY: Final = re.compile(
    r"\s*((?:19|20)[0-9]{2})"
    r"(?:([-/.])([0-9]{1,2})\2([0-9]{1,2})"
    r"|年([0-9]{1,2})月([0-9]{1,2})"
    r"|([0-9]{2})([0-9]{2})(?:[0-9]{4}|[0-9]{6})?)(?![0-9])"
)
# 2026-11, 2026/11, 2026年11月, 202611. Not 2026.1, as a spreadsheet's number writes 2026.10 too.
_MONTH: Final = re.compile(
    r"\s*(?:19|20)[0-9]{2}(?:[-/]([0-9]{1,2})|年([0-9]{1,2})月|([0-9]{2}))\s*"
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A citizen's words with what the order system knows beside them.

    ``created_at`` is a stamp that :func:`day_of` reads (ISO 8601 and the like), or year and month
    alone; its month lets seasonal rules apply. ``requester`` is any stable pseudonym of the caller; ``address`` an
    address recorded apart from the text.

    Lone surrogates, which no file can hold, become U+FFFD here, one for one: nothing behind a
    ticket meets one, and spans stay.
    """

    text: str
    id: str | None = None
    channel: str | None = None
    created_at: str | None = None
    requester: str | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        for name in _FIELDS:
            value = getattr(self, name)
            if isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    object.__setattr__(self, name, _SURROGATE.sub("\ufffd", value))

    @property
    def month(self) -> int | None:
        """Month of ``created_at``, 1 to 12; ``None`` if unknown."""
        if self.created_at is None:
            return None
        day = day_of(self.created_at)
        if day is not None:
            return day.month
        match = _MONTH.fullmatch(self.created_at)
        month = 0 if match is None else int(match[match.lastindex or 0])
        return month if 1 <= month <= 12 else None


def day_of(stamp: str) -> dt.date | None:
    """Return the day of a time stamp as hotlines export it, ``None`` if it is none.

    A stamp that cannot be understood is never an error: it would cost the ticket its answer for
    the sake of a few seasonal rules.

    Examples
    --------
    >>> day_of("2026/1/5 9:30").isoformat(), day_of("2026年11月5日").isoformat()
    ('2026-01-05', '2026-11-05')
    >>> day_of("1763049600") is None
    True
    """
    match = _DAY.match(stamp)
    if match is None:
        return None
    year, month, day = (int(g) for g in match.group(1, 3, 4, 5, 6, 7, 8) if g is not None)
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def ticket_of(row: Mapping[str, Any]) -> Ticket:
    """Make a ticket of a JSON object; unknown fields are ignored.

    Raises
    ------
    UsageError
        If ``text`` is missing or no string, or another field is neither a string nor a number
        (order systems export numbers, telephones and dates as such).
    """
    values: dict[str, str | None] = {}
    for name in _FIELDS:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "text":
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"字段 {name} 应为文字")
        values[name] = value
    text = values.pop("text")
    if text is None:
        raise UsageError("缺少字段 text（诉求内容）")
    return Ticket(text=text, **values)


def check_text(text: str) -> None:
    """Refuse what is no ticket.

    Raises
    ------
    UsageError
        If the text is blank, too long, or binary.
    """
    if not text.strip():
        raise UsageError("诉求内容为空")
    if len(text) > TEXT_LIMIT:
        raise UsageError(f"诉求内容过长：{len(text)} 字，上限 {TEXT_LIMIT} 字")
    if "\x00" in text:
        raise UsageError("诉求内容含二进制数据，请检查文件编码")
