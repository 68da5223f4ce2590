"""Where tickets come from: Parquet, CSV, JSONL, XLSX or an SQL query, as Arrow batches in order.

A source has pieces (its files, or one). A batch never spans two pieces, so the same input is always
cut into the same batches, and one damaged file does not shift the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from jiesu_nlp.batch.extras import arrow, need
from jiesu_nlp.batch.rows import BadRow
from jiesu_nlp.batch.rowwise import CsvRows, JsonRows, RowSource, SqlRows, XlsxRows
from jiesu_nlp.batch.sink import NO_VALUE
from jiesu_nlp.errors import DataError, JiesuError, UsageError

_SUFFIXES = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx",
}  # fmt: skip
_TEXT_NAMES = (
    "text", "诉求内容", "工单内容", "来电内容", "主要内容", "问题描述", "诉求描述", "反映内容", "内容", "描述", "content",
)  # fmt: skip
_BESIDE_NAMES = {
    "created_at": ("created_at", "受理时间", "来电时间", "创建时间", "登记时间"),
    "channel": ("channel", "渠道", "来源渠道", "诉求来源"),
    "address": ("address", "地址", "事发地址", "发生地址", "诉求地址"),
}
_HAN = re.compile("[\u4e00-\u9fff]")
_SAMPLE = 500


class UnreadableError(Exception):
    """A piece cannot be read (any further); its text says why, in Chinese."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one piece: the readable ones with their numbers, the others, and the share read."""

    batch: Any
    numbers: Sequence[int]
    bad: tuple[BadRow, ...] = ()
    share: float | None = None


class Source(Protocol):
    """Pieces of input with one schema."""

    pieces: tuple[str, ...]
    schema: Any

    def read(self, piece: int, size: int) -> Iterator[Chunk]:
        """Yield the batches of one piece.

        Raises
        ------
        UnreadableError
            Where the piece is damaged; the batches before it were yielded.
        """


def open_source(spec: str, *, query: str | None = None, sheet: str | None = None) -> Source:
    """Open a file, a folder of files of one kind, or a database with a query.

    Raises
    ------
    UsageError
        If there is nothing to read, or of a kind that is not known.
    DataError
        If the schemas of the files cannot be reconciled.
    """
    if "://" in spec:
        if not query:
            raise UsageError(
                "数据库输入需要 --query，如 --query 'SELECT * FROM tickets ORDER BY id'"
            )
        return _RowPieces(("query",), (SqlRows(spec, query),))
    if query:
        raise UsageError("--query 只用于数据库输入（形如 postgresql://… 的地址）")
    path = Path(spec)
    files, kind = _files(path)
    root = path if path.is_dir() else path.parent
    names = tuple(f.relative_to(root).as_posix() for f in files)
    if kind == "parquet":
        return ParquetSource(names, tuple(files))
    readers: list[RowSource] = []
    for file in files:
        if kind == "csv":
            readers.append(CsvRows(file))
        else:
            readers.append(JsonRows(file) if kind == "jsonl" else XlsxRows(file, sheet))
    return _RowPieces(names, tuple(readers))


def _files(path: Path) -> tuple[list[Path], str]:
    if not path.exists():
        raise UsageError(f"输入不存在：{path}")
    if path.is_file():
        kind = _SUFFIXES.get(path.suffix.lower())
        if kind is None:
            raise UsageError(f"不认识的文件类型：{path.name}；可用：{'、'.join(_SUFFIXES)}")
        return [path], kind
    files = sorted(
        p
        for p in path.rglob("*")
        if p.is_file()
        and p.suffix.lower() in _SUFFIXES
        and not any(part[0] in "._" for part in p.relative_to(path).parts)
    )
    kinds = {_SUFFIXES[f.suffix.lower()] for f in files}
    if not files:
        raise UsageError(f"文件夹里没有可读的文件：{path}（可用：{'、'.join(_SUFFIXES)}）")
    if len(kinds) > 1:
        raise UsageError(f"文件夹里混有几种文件（{'、'.join(sorted(kinds))}）：{path}；请分开处理")
    return files, kinds.pop()


class ParquetSource:
    """Parquet files; ``key=value`` folders become text columns."""

    def __init__(self, pieces: tuple[str, ...], files: tuple[Path, ...]) -> None:
        self.pieces = pieces
        self._files = files
        self._parquet = need("pyarrow.parquet", "tables", "读 Parquet ")
        self._faults: dict[int, str] = {}
        self._starts: dict[int, int] = {}
        schemas: dict[int, Any] = {}
        total = 0
        for i, file in enumerate(files):
            try:
                with self._parquet.ParquetFile(file) as opened:
                    schemas[i] = _plain_schema(opened.schema_arrow)
                    self._starts[i] = total
                    total += opened.metadata.num_rows
            except (OSError, ValueError) as fault:
                self._faults[i] = f"文件损坏或不是 Parquet：{_brief(fault)}"
        if not schemas:
            raise DataError("没有一个文件能读", path=files[0], remedy="检查文件是否完整")
        self._rows = max(total, 1)
        self.schema = self._unify(schemas)

    def _unify(self, schemas: dict[int, Any]) -> Any:
        pa = arrow()
        unified = None
        for i, schema in schemas.items():
            for key in _partition_keys(self.pieces[i]):
                if key not in schema.names:
                    schema = schema.append(pa.field(key, pa.string()))  # noqa: PLW2901
            try:
                unified = (
                    schema
                    if unified is None
                    else pa.unify_schemas([unified, schema], promote_options="permissive")
                )
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                assert unified is not None
                odd = next(f for f in schema if f.name in unified.names and not _fits(unified, f))
                raise DataError(
                    f"各文件的列类型不一致：此文件为 {odd.type}，前面的文件为 {unified.field(odd.name).type}",
                    path=self._files[i],
                    field=odd.name,
                    remedy="先统一类型，或把该文件分开处理",
                ) from None
        return unified

    def read(self, piece: int, size: int) -> Iterator[Chunk]:
        """Yield the batches of one file, in bounded memory."""
        if piece in self._faults:
            raise UnreadableError(self._faults[piece])
        done = 0
        try:
            with self._parquet.ParquetFile(
                self._files[piece], pre_buffer=False, buffer_size=1 << 20
            ) as file:
                for batch in file.iter_batches(batch_size=size, use_threads=False):
                    numbers = range(done + 1, done + batch.num_rows + 1)
                    done += batch.num_rows
                    share = (self._starts[piece] + done) / self._rows
                    yield Chunk(self._conform(batch, piece), numbers, share=share)
        except (OSError, ValueError) as fault:
            raise UnreadableError(
                f"第 {done + 1} 行起读不出来，文件损坏：{_brief(fault)}"
            ) from None

    def _conform(self, batch: Any, piece: int) -> Any:
        pa = arrow()
        keys = _partition_keys(self.pieces[piece])
        columns = []
        for field in self.schema:
            if field.name in batch.schema.names:
                columns.append(batch.column(field.name).cast(field.type))
            elif field.name in keys:
                columns.append(pa.array([keys[field.name]] * batch.num_rows, field.type))
            else:
                columns.append(pa.nulls(batch.num_rows, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


class _RowPieces:
    """Row-wise sources behind one schema; the first piece that can says which columns there are."""

    def __init__(self, pieces: tuple[str, ...], readers: tuple[RowSource, ...]) -> None:
        self.pieces = pieces
        self._readers = readers
        self.schema = _first_schema(readers)

    def read(self, piece: int, size: int) -> Iterator[Chunk]:
        """Yield the batches of one piece."""
        reader = self._readers[piece]
        last = 0
        try:
            for batch, numbers, bad, share in reader.batches(self.schema, size):
                whole = None if share is None else (piece + share) / len(self.pieces)
                yield Chunk(batch, numbers, tuple(bad), whole)
                last = max([last, *numbers[-1:], *(b.row for b in bad)])
        except DataError as fault:
            after = f"第 {last} 行之后读不出来：" if last else ""
            raise UnreadableError(after + fault.message) from None
        except OSError as fault:
            raise UnreadableError(f"读取失败：{fault.strerror or fault}") from None


def _first_schema(readers: Sequence[RowSource]) -> Any:
    """Return the first schema there is; a piece without one is told of when it is read."""
    faults: list[JiesuError] = []
    for reader in readers:
        try:
            return reader.schema()
        except (DataError, UsageError) as fault:
            faults.append(fault)
    raise faults[0]


def _brief(fault: BaseException) -> str:
    return str(fault).splitlines()[0][:160] if str(fault) else type(fault).__name__


def _plain_schema(schema: Any) -> Any:
    """Return the schema without dictionaries, metadata and view types."""
    pa = arrow()
    return pa.schema(
        [
            pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
            for f in schema
        ]
    )


def _fits(unified: Any, field: Any) -> bool:
    pa = arrow()
    try:
        pa.unify_schemas(
            [pa.schema([unified.field(field.name)]), pa.schema([field])],
            promote_options="permissive",
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def _partition_keys(name: str) -> dict[str, str | None]:
    parts = [p.partition("=") for p in name.split("/")[:-1]]
    return {
        unquote(key): None if value == NO_VALUE else unquote(value)
        for key, sign, value in parts
        if sign
    }


def is_text(schema: Any, name: str) -> bool:
    """Say whether a column holds text."""
    pa = arrow()
    kind = schema.field(name).type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()
    )


def check_column(schema: Any, name: str, what: str, *, text: bool = False) -> str:
    """Return ``name`` if it is a column (of text).

    Raises
    ------
    UsageError
        If it is not.
    """
    if name not in schema.names:
        raise UsageError(f"没有名为“{name}”的列（{what}）；现有列：{'、'.join(schema.names)}")
    if text and not is_text(schema, name):
        raise UsageError(f"列“{name}”的类型是 {schema.field(name).type}，不是文字，不能作为{what}")
    return name


def detect_text_column(source: Source) -> str:
    """Find the column with the citizens' words: by its usual names, else by its content.

    Raises
    ------
    UsageError
        If no column stands out.
    """
    schema = source.schema
    for name in _TEXT_NAMES:
        if name in schema.names and is_text(schema, name):
            return name
    lengths: dict[str, float] = {}
    sample = first_batch(source, _SAMPLE)
    if sample is not None:
        for name in schema.names:
            if is_text(schema, name):
                values = [v for v in sample.column(name).to_pylist() if v]
                lengths[name] = sum(len(_HAN.findall(v)) for v in values) / max(len(values), 1)
    best = sorted(lengths, key=lambda n: -lengths[n])[:2]
    if (
        best
        and lengths[best[0]] >= 8
        and (len(best) == 1 or lengths[best[0]] >= 1.5 * lengths[best[1]])
    ):
        return best[0]
    raise UsageError(
        f"认不出诉求内容在哪一列；请用 --text-column 指定，现有列：{'、'.join(schema.names)}"
    )


def first_batch(source: Source, size: int) -> Any:
    """Return some rows of the first readable piece, ``None`` if there are none."""
    for piece in range(len(source.pieces)):
        try:
            for chunk in source.read(piece, size):
                return chunk.batch
        except UnreadableError:
            continue
    return None


def detect_beside(schema: Any, name: str) -> str | None:
    """Find ``created_at``, ``channel`` or ``address`` by its usual names."""
    return next((n for n in _BESIDE_NAMES[name] if n in schema.names), None)
