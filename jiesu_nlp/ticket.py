"""A ticket as it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jiesu_nlp.errors import UsageError

TEXT_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """A citizen's words with what the order system knows beside them.

    ``created_at`` is ISO 8601; its month lets seasonal rules apply. ``requester`` is any stable
    pseudonym of the caller; ``address`` an address recorded apart from the text.
    """

    text: str
    id: str | None = None
    channel: str | None = None
    created_at: str | None = None
    requester: str | None = None
    address: str | None = None

    @property
    def month(self) -> int | None:
        """Month of ``created_at``, 1 to 12; ``None`` if unknown."""
        stamp = self.created_at or ""
        digits = stamp[5:7] if len(stamp) >= 7 and stamp[4] in "-/" else stamp[4:6]
        return int(digits) if digits.isdigit() and 1 <= int(digits) <= 12 else None


def ticket_of(row: Mapping[str, Any]) -> Ticket:
    """Make a ticket of a JSON object; unknown fields are ignored.

    Raises
    ------
    UsageError
        If ``text`` is missing or a field is not a string (or number, for ``id``).
    """
    values: dict[str, str | None] = {}
    for name in ("text", "id", "channel", "created_at", "requester", "address"):
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
