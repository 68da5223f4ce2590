"""Write one shard: its files appear whole or not at all, and with the same bytes every time."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jiesu_nlp.batch.extras import arrow, need
from jiesu_nlp.batch.manifest import FOLDER, Manifest, Written, sha256_of
from jiesu_nlp.batch.rows import Answered, BadRow
from jiesu_nlp.errors import UsageError

FORMATS = ("parquet", "csv")
BAD, MOVES = "bad", "moves"
# What Hive, Spark and Arrow call the partition without a value.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_MOST_PARTITIONS = 500
_TEMPORARY = ".tmp"


def write_shard(
    output: Path,
    key: str,
    answered: Answered,
    *,
    form: str,
    source: str,
    partition_by: str | None,
) -> tuple[Written, ...]:
    """Write the answers, the bad rows and the ledger of moves of one shard.

    Raises
    ------
    UsageError
        If the disk refuses; no half file is left.
    """
    written = []
    if answered.table.num_rows and form != "table":
        for folder, table in _partitions(answered.table, partition_by):
            name = f"{folder}part-{key}.{form}"
            written.append(_written(output, name, _encode(table, form)))
    if answered.moves is not None and answered.moves.num_rows:
        name = f"{FOLDER}/{MOVES}/part-{key}.parquet"
        written.append(_written(output, name, _encode(answered.moves, "parquet")))
    if answered.bad:
        name = f"{FOLDER}/{BAD}/part-{key}.jsonl"
        lines = "".join(bad_line(source, b) + "\n" for b in answered.bad)
        written.append(_written(output, name, lines.encode(errors="replace")))
    return tuple(written)


def _partitions(table: Any, column: str | None) -> Iterable[tuple[str, Any]]:
    if column is None:
        return [("", table)]
    pa, pc = arrow(), need("pyarrow.compute", "tables", "分区")
    encoded = pc.dictionary_encode(table.column(column).combine_chunks(), null_encoding="encode")
    values = encoded.dictionary.to_pylist()
    if len(values) > _MOST_PARTITIONS:
        raise UsageError(
            f"列“{column}”在一个分片里就有 {len(values)} 个不同的值，不适合分区（上限 {_MOST_PARTITIONS}）"
        )
    rest = table.drop_columns([column])
    # By name: values of one name (null and NaN) share a folder, or one would replace the other.
    named: dict[str, list[int]] = {}
    for i in sorted(range(len(values)), key=lambda i: (values[i] is None, str(values[i]))):
        value = values[i]
        none = value is None or value != value  # noqa: PLR0124 - NaN
        named.setdefault(NO_VALUE if none else quote(str(value), safe=" ：:+"), []).append(i)
    return [
        (
            f"{column}={name}/",
            rest.filter(pc.is_in(encoded.indices, pa.array(places, encoded.indices.type))),
        )
        for name, places in named.items()
    ]


def _encode(table: Any, form: str) -> bytes:
    sink = io.BytesIO()
    if form == "parquet":
        parquet = need("pyarrow.parquet", "tables", "写 Parquet ")
        parquet.write_table(table.combine_chunks(), sink, compression="zstd", compression_level=1)
    else:
        need("pyarrow.csv", "tables", "写 CSV ").write_csv(flat(table), sink)
    return sink.getvalue()


def flat(table: Any) -> Any:
    """Turn nested columns into JSON text."""
    pa = arrow()
    for i, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [
                None if v is None else json.dumps(v, ensure_ascii=False, default=str)
                for v in table.column(i).to_pylist()
            ]
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table


def bad_line(source: str, bad: BadRow) -> str:
    """Return the line of a bad row for the side file."""
    found = {"_source": source, "_row": bad.row, "_reason": bad.reason, **bad.fields}
    return json.dumps(found, ensure_ascii=False, default=str)


def _write(output: Path, name: str, parts: Iterable[bytes]) -> Path:
    path = output / name
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as fault:
        why = "磁盘已满" if fault.errno == errno.ENOSPC else fault.strerror or str(fault)
        raise UsageError(
            f"写 {path} 失败：{why}；已完成的分片保留，排除后重新运行同一命令即可继续"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _written(output: Path, name: str, data: bytes) -> Written:
    return Written(name, len(data), sha256_of(_write(output, name, [data])))


def clear_unfinished(output: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in output.rglob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def gather_bad_rows(output: Path, manifest: Manifest) -> Path | None:
    """Join the bad rows of all shards, in order, into ``bad_rows.jsonl``; none, no file."""
    name = f"{FOLDER}/bad_rows.jsonl"
    parts = [path for _, path in manifest.files(BAD) if path.exists()]
    if parts:
        return _write(output, name, (part.read_bytes() for part in parts))
    (output / name).unlink(missing_ok=True)
    return None


def ledger(manifest: Manifest, columns: Sequence[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the key of a shard and a ledger table of it, in order."""
    parquet = need("pyarrow.parquet", "tables", "变化报告")
    for key, path in manifest.files(MOVES):
        if path.exists():
            yield key, parquet.ParquetFile(path).read(columns=columns)


def rewrite(output: Path, file: Written, change: Callable[[Any], Any]) -> Written:
    """Replace a Parquet file of the output by a changed one.

    Raises
    ------
    UsageError
        If the disk refuses; the old file is untouched then.
    """
    parquet = need("pyarrow.parquet", "tables", "读 Parquet ")
    table = parquet.ParquetFile(output / file.path).read()
    return _written(output, file.path, _encode(change(table), "parquet"))
