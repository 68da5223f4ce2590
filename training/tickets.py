"""Make tickets of the rows of data files: which column is what, and why a row is no ticket.

Rows are streamed, so a file may be larger than memory. What cannot be used comes back as a
:class:`Rejected` with its reason: nothing is dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.stream import open_lines
from jiesu_nlp.ticket import Ticket, check_text
from training.excerpt import excerpt, shown_names
from training.labels import LabelBook
from training.raw_rows import UNREADABLE, IsRow, RawRow, data_files, raw_rows

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "编号", "工单编号", "工单号"),
    "text": ("text", "诉求内容", "内容", "诉求", "工单内容", "来电内容", "content"),
    "code": ("code", "path", "编码", "类目", "目录编码", "派单目录", "细项", "label", "标签"),
    "unit": ("unit", "承办单位", "主办单位", "主办"),
    "created_at": ("created_at", "受理时间", "来电时间", "时间", "日期", "date"),
    "weight": ("weight", "权重"),
    "source": ("source", "来源", "渠道", "channel"),
}
# What the gold tickets state besides, always under these names.
GOLD_COLUMNS = (
    "codes_ok", "also", "unit_ok", "voice", "tier", "type", "gate", "district", "town",
)  # fmt: skip
_TITLES = {"text": "诉求内容", "code": "目录编码"}
_DETAIL = 40


@dataclass(frozen=True, slots=True)
class LabelledTicket:
    """A ticket with its answer; ``codes`` and ``units`` hold all that are acceptable.

    Attributes
    ----------
    text
        The citizen's words.
    codes
        Acceptable leaf codes, the best first; at least one.
    units
        Acceptable lead units (classes or names), the best first; empty if unknown.
    created_at
        ISO 8601, ``None`` if unknown.
    weight
        How much the ticket counts in training.
    voice, tier, request_type, gate, district, town
        What the gold tickets state besides; for the evaluation only.
    place_known
        Whether the row says where, if only that it is nowhere: then ``district`` is ``None``.
    where
        File and row.
    """

    text: str
    codes: tuple[str, ...]
    units: tuple[str, ...] = ()
    id: str | None = None
    created_at: str | None = None
    weight: float = 1.0
    source: str | None = None
    voice: str | None = None
    tier: str | None = None
    request_type: str | None = None
    gate: str | None = None
    district: str | None = None
    town: str | None = None
    place_known: bool = False
    where: str = ""

    @property
    def code(self) -> str:
        """The best leaf."""
        return self.codes[0]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used: where it stands, why, and what it said."""

    where: str
    reason: str
    detail: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A row as it stands in the file, the file's column of each field, and what it comes to."""

    values: Mapping[str, Any]
    names: Mapping[str, str]
    ticket: LabelledTicket | Rejected


def read_tickets(
    paths: Iterable[Path],
    labels: LabelBook,
    *,
    columns: Mapping[str, str] | None = None,
) -> Iterator[LabelledTicket | Rejected]:
    """Yield every row as a ticket or with the reason why it is none.

    Parameters
    ----------
    paths
        Files or folders.
    labels
        Turns codes, paths, names and retired codes into leaves.
    columns
        Names of the file's columns by field, where they are not among :data:`COLUMNS`.

    Raises
    ------
    UsageError
        If a file is missing or of no known kind.
    DataError
        If a file has no column for the text or the code, or is damaged.
    """
    return (row.ticket for row in read_rows(paths, labels, columns=columns))


def read_rows(
    paths: Iterable[Path],
    labels: LabelBook,
    *,
    columns: Mapping[str, str] | None = None,
) -> Iterator[TicketRow]:
    """Yield what :func:`read_tickets` does, each with the row that it was made of."""

    def is_row(cells: Mapping[str, str]) -> bool:
        title = _columns_in(tuple(cells), columns or {}).get("code")
        return title is not None and _is_known(cells[title].strip(), labels)

    for path in paths:
        for file in data_files(Path(path)):
            for row, names in _named_rows(file, columns or {}, ("text", "code"), is_row):
                ticket = _unread(row) if row.fault else ticket_of_row(row, names, labels)
                yield TicketRow(row.values, names, ticket)


def _is_known(label: str, labels: LabelBook) -> bool:
    # Not resolved, a retired label is not counted as one that was used.
    catalogue = labels.catalogue
    return label in catalogue.retired_by_code or labels.resolve(label).code in catalogue.by_code


def read_unlabelled(
    path: Path, *, columns: Mapping[str, str] | None = None
) -> Iterator[Ticket | Rejected]:
    """Yield tickets of which only the text is known, and the rows that are none.

    Parameters
    ----------
    path
        A file or folder as for :func:`read_tickets`, without the column of the code; of a
        ``.txt`` file every line is a ticket.
    columns
        As for :func:`read_tickets`.
    """
    for file in data_files(path):
        if file.suffix.lower() == ".txt":
            yield from _lines_of_text(file)
            continue
        for row, names in _named_rows(file, columns or {}, ("text",)):
            if row.fault is not None:
                yield _unread(row)
                continue
            text = row.values.get(names["text"])
            known = row.values.get(names["id"]) if "id" in names else None
            yield _unlabelled(row.where, text, None if known is None else str(known))


def _lines_of_text(path: Path) -> Iterator[Ticket | Rejected]:
    with open_lines(str(path)) as lines:
        for line in lines:
            where = f"{path.name} 第 {line.number} 行"
            if line.fault is not None:
                yield Rejected(where, "无法读取", line.fault, {})
            elif line.text.strip():
                yield _unlabelled(where, line.text.strip(), str(line.number))


def _unlabelled(where: str, text: Any, known: str | None) -> Ticket | Rejected:
    if not isinstance(text, str):
        reason = "诉求为空" if text is None else "诉求不是文字"
        return Rejected(where, reason, excerpt(str(text), _DETAIL), {})
    try:
        check_text(text)
    except UsageError as fault:
        return Rejected(where, "诉求不可用", str(fault), {})
    return Ticket(text, id=known)


def _unread(row: RawRow) -> Rejected:
    return Rejected(row.where, "无法读取", row.fault or "", row.values)


def _named_rows(
    path: Path, columns: Mapping[str, str], needed: Sequence[str], is_row: IsRow | None = None
) -> Iterator[tuple[RawRow, Mapping[str, str]]]:
    """Yield the rows of a file with the column of each field; a row with a fault has none."""
    # The objects of a JSONL file need not all have the same fields.
    names_of: dict[tuple[str, ...], dict[str, str]] = {}
    first: dict[str, str] | None = None
    for row in raw_rows(path, is_row):
        if row.fault is not None:
            yield row, {}
            continue
        present = tuple(row.values)
        names = names_of.get(present)
        if names is None:
            if first is None:
                names = first = resolve_columns(present, columns, path, needed=needed)
            else:
                names = {**first, **_columns_in(present, columns)}
            names_of[present] = names
        yield row, names


def resolve_columns(
    present: Sequence[str],
    chosen: Mapping[str, str],
    path: Path,
    *,
    needed: Sequence[str] = ("text", "code"),
) -> dict[str, str]:
    """Find the file's column of each field.

    Raises
    ------
    UsageError
        If a chosen column or field does not exist.
    DataError
        If a needed field has no column.
    """
    unknown = [name for name in chosen if name not in COLUMNS]
    if unknown:
        raise UsageError(f"不认识的字段 {'、'.join(unknown)}；可用 {'、'.join(COLUMNS)}")
    for title in chosen.values():
        if title not in present:
            raise UsageError(f"{path} 里没有列“{title}”；有：{shown_names(present)}")
    names = _columns_in(present, chosen)
    for name in needed:
        if name not in names:
            raise DataError(
                f"没有{_TITLES[name]}列；有：{shown_names(present)}",
                path=path,
                remedy=f"用 --column {name}=列名 指明",
            )
    return names


def _columns_in(present: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    names = {}
    for name, aliases in COLUMNS.items():
        for title in (chosen[name],) if name in chosen else aliases:
            if title in present:
                names[name] = title
                break
    return names


def ticket_of_row(
    row: RawRow, names: Mapping[str, str], labels: LabelBook
) -> LabelledTicket | Rejected:
    """Make a ticket of a row, or say why it is none."""
    values = row.values

    def reject(reason: str, detail: str) -> Rejected:
        return Rejected(row.where, reason, detail, values)

    def text_of(name: str) -> str:
        value = values.get(names[name]) if name in names else None
        return "" if value is None else str(value).strip()

    text = values.get(names["text"])
    if not isinstance(text, str):
        reason = "诉求为空" if text is None else "诉求不是文字"
        return reject(reason, excerpt(str(text), _DETAIL))
    if UNREADABLE in text:
        return reject("编码无法识别", excerpt(text, _DETAIL))
    try:
        check_text(text)
    except UsageError as fault:
        return reject("诉求为空" if not text.strip() else "诉求不可用", str(fault))
    weight = text_of("weight") or "1"
    try:
        number = float(weight)
    except ValueError:
        return reject("权重有误", f"权重应为不小于 0 的数：{weight}")
    if not 0 <= number < 1e9:
        return reject("权重有误", f"权重应为不小于 0 的数：{weight}")
    stamp = text_of("created_at")
    created_at = None
    if stamp:
        created_at = iso_time(values[names["created_at"]])
        if created_at is None:
            return reject("时间有误", f"看不懂的时间：{stamp}")
    label = text_of("code")
    if not label:
        return reject("没有编码", "编码一栏是空的")
    found = labels.resolve(label)
    if found.code is None:
        return reject(found.reason, found.detail)
    others = [
        labels.resolve(str(code)).code
        for name in ("codes_ok", "also")
        for code in _many(values.get(name))
    ]
    unit = text_of("unit")
    return LabelledTicket(
        text=text,
        codes=tuple(dict.fromkeys([found.code, *(c for c in others if c)])),
        units=tuple(dict.fromkeys([unit, *_many(values.get("unit_ok"))])) if unit else (),
        id=text_of("id") or None,
        created_at=created_at,
        weight=number,
        source=text_of("source") or None,
        voice=_plain(values.get("voice")),
        tier=_plain(values.get("tier")),
        request_type=_plain(values.get("type")),
        gate=_plain(values.get("gate")),
        district=_plain(values.get("district")),
        town=_plain(values.get("town")),
        place_known="district" in values,
        where=row.where,
    )


def _plain(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _many(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [str(v) for v in value]
    return [part for part in re.split(r"[;；、\s]+", str(value)) if part]


_DAY = re.compile(
    r"(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
    r"(?:[\s(（]*(?:星期|周)[一二三四五六日天][)）]?)?"
    r"(?:[T\s]*(?P<before>上午|下午|[AP]M)?\s*"
    r"(?P<hour>\d{1,2})[:：时点](?:(?P<minute>\d{1,2})(?:[:：分](?P<second>\d{1,2})秒?|分)?)?"
    r"(?:\.\d+)?\s*(?P<after>上午|下午|[AP]M)?(?:\s*[-+]\d{2}:?(?:\d{2})?)?)?",
    re.IGNORECASE,
)
# What is left over may be a time of day written in some other way.
_OTHER_TIME = re.compile(r"\d|[点时半刻午晚早晨夜]|[AP]\.?\s?M", re.IGNORECASE)
_NOON = 12


def iso_time(value: Any) -> str | None:
    """Return ISO 8601 of a date, a time stamp, an Excel day number or the usual written forms."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    text = str(value).strip()
    if re.fullmatch(r"\d{5}(\.\d+)?", text):  # days since 1899-12-30, as spreadsheets store them
        days = float(text)
        moment = datetime.fromtimestamp((days - 25569) * 86400, tz=UTC)
        return moment.replace(tzinfo=None).isoformat(timespec="seconds")
    if re.fullmatch(r"\d{8}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    found = _DAY.match(text)
    if found is None or _OTHER_TIME.search(text, found.end()):
        return None
    year, month, day, hour, minute, second = (
        int(found[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second")
    )
    half = (found["before"] or found["after"] or "").upper()
    if half in ("下午", "PM") and hour < _NOON:
        hour += _NOON
    elif half in ("上午", "AM") and hour == _NOON:
        hour = 0
    try:
        return datetime(year, month, day, hour, minute, second).isoformat(timespec="seconds")
    except ValueError:
        return None
