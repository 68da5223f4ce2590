"""The one function that every engine calls: an Arrow batch of tickets in, the answered rows out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jiesu_nlp.batch.columns import arrays, fields, texts_type
from jiesu_nlp.batch.extras import arrow
from jiesu_nlp.batch.labels import OldLabels, Refiled
from jiesu_nlp.errors import UsageError
from jiesu_nlp.garbage import no_collection
from jiesu_nlp.suggestion import Suggestion
from jiesu_nlp.text.redact import redact
from jiesu_nlp.ticket import Ticket, check_text

if TYPE_CHECKING:
    from jiesu_nlp.dispatcher import Dispatcher

# So many tickets are answered together; a batch of the source is cut into such pieces.
ANSWERED_TOGETHER = 1024
_BUILT_TOGETHER = 2048
LABEL_COLUMNS = ("old_code", "label", "label_basis", "review")
_SIGN = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with each row: which columns are what, and what to write.

    ``redact`` masks the personal data in the text, and ``redact_columns`` from end to end.
    """

    text: str
    columns: tuple[str, ...]
    prefix: str = "jiesu_"
    redact: bool = True
    redact_columns: tuple[str, ...] = ()
    created_at: str | None = None
    channel: str | None = None
    address: str | None = None
    old_label: str | None = None


def task_of(saved: Mapping[str, Any]) -> Task:
    """Make a task of its JSON form."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()}
    return Task(**values)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be answered: its one-based number in its source, why, and its fields.

    ``odd`` names the fields that the columns of the input do not foresee.
    """

    row: int
    reason: str
    fields: dict[str, Any]
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a batch: the table of answers, and the rows without one.

    ``moves`` is the ledger for the report of changes, ``None`` without an old label.
    """

    table: Any
    bad: tuple[BadRow, ...]
    moves: Any
    decisions: Counter[str]


def output_schema(schema: Any, task: Task) -> Any:
    """Return the schema of the output for a schema of the input.

    Raises
    ------
    UsageError
        If a result column has the name of an input column.
    """
    pa = arrow()
    added = _source_fields(task) + fields(task.columns, task.prefix) + _label_fields(task)
    clash = [f.name for f in added if f.name in schema.names]
    if clash:
        raise UsageError(
            f"输入里已经有名为 {'、'.join(clash[:5])} 的列；"
            "请用 --prefix 换一个结果列前缀，如 --prefix new_"
        )
    kept = [
        pa.field(f.name, pa.string()) if f.name in _masked(task) else pa.field(f.name, f.type)
        for f in schema
    ]
    return pa.schema(kept + added)


def _masked(task: Task) -> tuple[str, ...]:
    return (task.text, *task.redact_columns) if task.redact else ()


def _source_fields(task: Task) -> list[Any]:
    pa = arrow()
    return [
        pa.field(task.prefix + "source", pa.string()),
        pa.field(task.prefix + "row", pa.int64()),
    ]


def _label_fields(task: Task) -> list[Any]:
    if task.old_label is None:
        return []
    pa = arrow()
    kinds = (pa.string(), pa.string(), pa.string(), texts_type())
    return [pa.field(task.prefix + n, k) for n, k in zip(LABEL_COLUMNS, kinds, strict=True)]


@no_collection()
def answer_batch(
    dispatcher: Dispatcher,
    batch: Any,
    task: Task,
    *,
    source: str,
    numbers: Sequence[int],
    unread: Sequence[BadRow] = (),
) -> Answered:
    """Answer every row of a batch, in order.

    Parameters
    ----------
    dispatcher
        The loaded bundle.
    batch
        ``pyarrow.RecordBatch`` of the input.
    task
        What to do.
    source
        Name of the input (file) for the column ``source`` and messages.
    numbers
        One-based row number of each row in its source.
    unread
        Rows among them that the reader could not put into the batch.
    """
    pa = arrow()
    schema = output_schema(batch.schema, task)
    labels = OldLabels(dispatcher.catalogue)
    tables, bad, moves = [], list(unread), []
    decisions: Counter[str] = Counter()
    for start in range(0, batch.num_rows, _BUILT_TOGETHER):
        piece = batch.slice(start, _BUILT_TOGETHER)
        rows = numbers[start : start + _BUILT_TOGETHER]
        good, suggestions, faults = _suggest(dispatcher, piece, task)
        for i, reason in faults:
            bad.append(BadRow(rows[i], reason, piece.slice(i, 1).to_pylist()[0]))
        kept = piece if len(good) == piece.num_rows else piece.take(pa.array(good, pa.int64()))
        columns = _kept_columns(kept, suggestions, task)
        columns += [
            pa.array([source] * len(good), pa.string()),
            pa.array([rows[i] for i in good], pa.int64()),
        ]
        columns += arrays(suggestions, task.columns)
        decisions.update(s.demands[0].decision for s in suggestions)
        if task.old_label is not None:
            raw = [_text(v) for v in kept.column(task.old_label).to_pylist()]
            refiled = [
                labels.refile(label, s.demands[0])
                for label, s in zip(raw, suggestions, strict=True)
            ]
            columns += _label_arrays(refiled)
            moves.append(_moves(source, [rows[i] for i in good], raw, refiled, suggestions))
        tables.append(pa.Table.from_arrays(columns, schema=schema))
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    ledger = pa.concat_tables(moves) if moves else None
    shown = tuple(_masked_row(b, task) for b in sorted(bad, key=lambda b: b.row))
    return Answered(table, shown, ledger, decisions)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _suggest(
    dispatcher: Dispatcher, batch: Any, task: Task
) -> tuple[list[int], list[Suggestion], list[tuple[int, str]]]:
    """Return the rows that are tickets, their suggestions, and the faults of the others."""
    texts = batch.column(task.text).to_pylist()
    beside = {
        name: [_text(v) for v in batch.column(column).to_pylist()]
        for name in ("created_at", "channel", "address")
        if (column := getattr(task, name)) is not None
    }
    good: list[int] = []
    tickets: list[Ticket] = []
    faults: list[tuple[int, str]] = []
    for i, text in enumerate(texts):
        if text is None:
            faults.append((i, "诉求内容缺失（空值）"))
            continue
        try:
            check_text(text)
        except UsageError as fault:
            faults.append((i, str(fault)))
            continue
        good.append(i)
        tickets.append(Ticket(text=text, **{k: v[i] for k, v in beside.items()}))
    try:
        found = list(dispatcher.suggest_many(tickets, batch_size=ANSWERED_TOGETHER, evidence=False))
    except Exception:
        return _one_by_one(dispatcher, good, tickets, faults)
    return good, found, faults


def _one_by_one(
    dispatcher: Dispatcher, rows: list[int], tickets: list[Ticket], faults: list[tuple[int, str]]
) -> tuple[list[int], list[Suggestion], list[tuple[int, str]]]:
    """Find the rows on which the dispatcher itself fails: one ticket must not stop millions."""
    good: list[int] = []
    found: list[Suggestion] = []
    for i, ticket in zip(rows, tickets, strict=True):
        try:
            found += dispatcher.suggest_many([ticket], batch_size=1, evidence=False)
            good.append(i)
        except Exception as fault:
            faults.append((i, f"处理出错（{type(fault).__name__}），请反馈给维护者"))
    return good, found, sorted(faults)


def _kept_columns(batch: Any, suggestions: list[Suggestion], task: Task) -> list[Any]:
    pa = arrow()
    columns = []
    for field in batch.schema:
        if task.redact and field.name == task.text:
            columns.append(pa.array([s.redacted_text for s in suggestions], pa.string()))
        elif field.name in _masked(task):
            values = [_text(v) for v in batch.column(field.name).to_pylist()]
            columns.append(pa.array([v if v is None else _hide(v) for v in values], pa.string()))
        else:
            columns.append(batch.column(field.name))
    return columns


def _hide(value: str) -> str:
    """Mask a whole cell, length for length; a blank one stays blank.

    Names and telephones that stand alone in a cell are told from other words by their column only.
    """
    return _SIGN.sub("*", value)


def _masked_row(bad: BadRow, task: Task) -> BadRow:
    """Mask what the output masks, and what no option could have named."""
    if not task.redact:
        return bad
    hidden = {*_masked(task), *bad.odd}
    fields = {}
    for name, value in bad.fields.items():
        if name not in hidden or value is None:
            fields[name] = value
        else:
            fields[name] = (redact if name == task.text else _hide)(str(value)[:2000])
    return replace(bad, fields=fields)


def _label_arrays(refiled: list[Refiled]) -> list[Any]:
    pa = arrow()
    return [
        pa.array([r.old for r in refiled], pa.string()),
        pa.array([r.code for r in refiled], pa.string()),
        pa.array([r.basis for r in refiled], pa.string()),
        pa.array([r.reasons for r in refiled], texts_type()),
    ]


def moves_schema() -> Any:
    """Return the schema of the ledger of moves."""
    pa = arrow()
    text = pa.string()
    kinds = {
        "source": text,
        "row": pa.int64(),
        "raw": text,
        "old": text,
        "mapped": text,
        "new": text,
        "basis": text,
        "reasons": texts_type(),
        "confidence": pa.float64(),
        "candidates": texts_type(),
        "text": text,
    }
    return pa.schema(list(kinds.items()))


def _moves(
    source: str,
    rows: list[int],
    raw: list[str | None],
    refiled: list[Refiled],
    suggestions: list[Suggestion],
) -> Any:
    demands = [s.demands[0] for s in suggestions]
    columns = [
        [source] * len(rows),
        rows,
        raw,
        [r.old for r in refiled],
        [r.mapped for r in refiled],
        [r.code for r in refiled],
        [r.basis for r in refiled],
        [r.reasons for r in refiled],
        [d.categories[0].confidence for d in demands],
        [[c.code for c in d.categories] for d in demands],
        [s.redacted_text[:300] for s in suggestions],
    ]
    return arrow().table(columns, schema=moves_schema())
