"""Streams of tickets: lines in any usual encoding in, one JSON line out for each, in order.

An output file is written beside its place and renamed when complete: it is whole or absent.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jiesu_nlp.errors import UsageError
from jiesu_nlp.ticket import Ticket, check_text, ticket_of

if TYPE_CHECKING:
    from jiesu_nlp.dispatcher import Dispatcher

_BATCH = 256
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of input with its one-based number; ``fault`` says why it could not be read."""

    number: int
    text: str
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How many lines came, were answered, and failed."""

    lines: int
    answered: int
    failed: int


def decode(raw: bytes) -> str:
    """Decode UTF-8, or GB18030 where it is not UTF-8.

    Raises
    ------
    UnicodeDecodeError
        If it is neither.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030")


@contextmanager
def open_lines(source: str) -> Iterator[Iterator[Line]]:
    """Open a file (or ``-``) as lines; UTF-8, GB18030 and UTF-16 with a mark are recognised.

    Raises
    ------
    UsageError
        If the file cannot be opened.
    """
    if source == "-":
        yield _lines(sys.stdin.buffer)
        return
    path = Path(source)
    try:
        stream = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"文件不存在：{path}；请检查路径") from None
    except IsADirectoryError:
        raise UsageError(f"这是文件夹，不是文件：{path}") from None
    except PermissionError:
        raise UsageError(f"没有读取权限：{path}") from None
    except OSError as fault:
        raise UsageError(f"打不开 {path}：{fault.strerror or fault}；请检查路径") from None
    with stream:
        yield _lines(stream)


def _lines(stream: IO[bytes]) -> Iterator[Line]:
    first = stream.readline()
    if first.startswith(_UTF16):
        # Half a line break of UTF-16 is no line: read on to the end.
        text = (first + stream.read()).decode("utf-16", errors="replace")
        # As in the other encodings only \n ends a line: JSON may hold a bare U+2028 or U+0085.
        for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
            yield Line(number, line)
        return
    if first.startswith(codecs.BOM_UTF8):
        first = first[len(codecs.BOM_UTF8) :]
    number = 0
    raw = first
    while raw:
        number += 1
        try:
            yield Line(number, decode(raw))
        except UnicodeDecodeError:
            yield Line(number, "", "既不是 UTF-8 也不是 GB18030 编码")
        raw = stream.readline()


def json_objects(lines: Iterable[Line]) -> Iterator[tuple[Line, dict[str, Any] | None, str]]:
    """Yield the JSON object of each line that is not blank, or ``None`` and why there is none."""
    for line in lines:
        if line.fault is not None:
            yield line, None, line.fault
        elif line.text.strip():
            try:
                row = json.loads(line.text)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield line, row, ""
            else:
                yield line, None, "不是有效的 JSON 对象"


def parse_line(line: Line) -> Ticket:
    """Make a ticket of a line: a JSON object, or else the text itself.

    Raises
    ------
    UsageError
        If the line is no ticket.
    """
    if line.fault is not None:
        raise UsageError(line.fault)
    text = line.text.strip()
    if text.startswith("{"):
        try:
            row = json.loads(text)
        except ValueError as error:
            position = getattr(error, "colno", None)
            where = f"（第 {position} 个字符附近）" if position else ""
            raise UsageError(f"不是有效的 JSON{where}") from None
        except RecursionError:
            raise UsageError("JSON 嵌套过深") from None
        ticket = ticket_of(row)
    else:
        ticket = Ticket(text=text, id=str(line.number))
    check_text(ticket.text)
    return ticket


def answer_stream(
    dispatcher: Dispatcher,
    lines: Iterable[Line],
    target: Path | None,
    *,
    on_error: Callable[[int, str], None],
) -> StreamReport:
    """Answer every line with one JSON line, in order, to a file or to standard output.

    Blank lines at the very end are not tickets; any other blank line is answered with an error.
    """
    with _open_target(target) as write:
        count = answered = failed = 0
        for batch in _batches(_without_blank_tail(lines)):
            parsed: list[Ticket | str] = []
            for line in batch:
                try:
                    parsed.append(parse_line(line))
                except UsageError as fault:
                    parsed.append(str(fault))
            good = dispatcher.suggest_many(
                [t for t in parsed if isinstance(t, Ticket)], batch_size=_BATCH
            )
            for line, item in zip(batch, parsed, strict=True):
                count += 1
                if isinstance(item, str):
                    failed += 1
                    on_error(line.number, item)
                    write({"line": line.number, "error": item})
                else:
                    answered += 1
                    write(next(good).to_dict())
    return StreamReport(count, answered, failed)


def _without_blank_tail(lines: Iterable[Line]) -> Iterator[Line]:
    blank: list[Line] = []
    for line in lines:
        if line.fault is None and not line.text.strip():
            blank.append(line)
            continue
        yield from blank
        blank = []
        yield line


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while batch := list(islice(lines, _BATCH)):
        yield batch


@contextmanager
def _open_target(target: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    if target is None:
        yield lambda row: print(json.dumps(row, ensure_ascii=False))  # noqa: T201
        sys.stdout.flush()
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        stream = temporary.open("w", encoding="utf-8", newline="\n")
    except OSError as fault:
        raise UsageError(f"无法写入 {target}：{fault.strerror or fault}") from None
    try:
        with stream:
            yield lambda row: _write(stream, row)
        temporary.replace(target)
    except OSError as fault:
        raise UsageError(
            f"写 {target} 失败：{fault.strerror or fault}；没有留下半截文件"
        ) from fault
    finally:
        temporary.unlink(missing_ok=True)


def _write(stream: IO[str], row: dict[str, Any]) -> None:
    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
