"""Records on disk while the database is away: appended and synced, later replayed in order."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import UsageError

Record = tuple[str, Mapping[str, Any]]


class Spool:
    """An append-only file of records; a record is safe once :meth:`append` returned.

    ``replay.jsonl`` is the part being written to the database; it is removed only after the
    commit. Records carry their own ids, so that writing one twice changes nothing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._open = directory / "spool.jsonl"
        self._replayed = directory / "replay.jsonl"
        self._rejected = directory / "rejected.jsonl"
        self._mend_tail()

    def _mend_tail(self) -> None:
        """Cut off a record torn by a crash; it was never confirmed."""
        if not self._open.exists():
            return
        data = self._open.read_bytes()
        if data and not data.endswith(b"\n"):
            with self._open.open("rb+") as stream:
                stream.truncate(data.rfind(b"\n") + 1)

    def __bool__(self) -> bool:
        return self._replayed.exists() or (self._open.exists() and self._open.stat().st_size > 0)

    def append(self, records: Sequence[Record]) -> None:
        """Add records and wait until the disk has them.

        Raises
        ------
        OSError
            If the disk refuses; then none of them counts as stored.
        """
        _append(self._open, records)

    def reject(self, records: Sequence[Record]) -> None:
        """Set aside what the database will never take."""
        _append(self._rejected, records)

    def waiting(self) -> list[Record]:
        """Return the records to replay now, oldest first; call :meth:`done` after the commit."""
        if not self._replayed.exists() and self._open.exists():
            self._open.replace(self._replayed)
        return list(_read(self._replayed)) if self._replayed.exists() else []

    def done(self) -> None:
        """Forget what :meth:`waiting` returned."""
        self._replayed.unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """Yield everything still on disk."""
        for path in (self._replayed, self._open):
            if path.exists():
                yield from _read(path)


def _append(path: Path, records: Sequence[Record]) -> None:
    data = b"".join(
        json.dumps({"table": table, "values": dict(values)}, ensure_ascii=False).encode() + b"\n"
        for table, values in records
    )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    before = os.fstat(handle).st_size
    try:
        if os.write(handle, data) != len(data):
            raise OSError("short write")
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, before)
        raise
    finally:
        os.close(handle)


def _read(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                row = json.loads(line)
                record = row["table"], row["values"]
            except (ValueError, KeyError, TypeError):
                raise UsageError(
                    f"暂存文件损坏：{path} 第 {number} 行；把这一行另存、从文件中删去，再启动服务"
                ) from None
            yield record
