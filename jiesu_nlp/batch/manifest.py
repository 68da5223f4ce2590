"""The manifest of a run: what was asked, and each finished shard with its checksums.

One JSON line each, appended and synced after the shard's files are in place. A torn last line (a
killed run) is cut off; so is nothing else. Whatever is not in the manifest was not done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import DataError, UsageError

FOLDER = "_jiesu"
FILE = "manifest.jsonl"
FORMAT = 1
_LOCK_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the output: path below the output folder, size, checksum."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard.

    ``input`` is the checksum of the rows that came in, so that a restart notices other rows;
    ``files`` are the answers, the bad rows and the ledger of moves.
    """

    key: str
    input: str
    rows: int
    bad: int
    decisions: dict[str, int]
    bundle: str
    files: tuple[Written, ...]


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Manifest:
    """The manifest of one output folder."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / FOLDER
        self.header: dict[str, Any] | None = None
        self.shards: dict[str, Shard] = {}
        self._read()

    def _read(self) -> None:
        path = self.folder / FILE
        if not path.exists():
            return
        raw = path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
                if number == 1:
                    if row.get("format") != FORMAT:
                        raise ValueError
                    self.header = row
                else:
                    row["files"] = tuple(Written(**f) for f in row["files"])
                    self.shards[row["key"]] = Shard(**row)
            except (ValueError, TypeError, KeyError, AttributeError):
                raise DataError(
                    "清单损坏或不是本程序写的",
                    path=path,
                    line=number,
                    remedy="换一个输出文件夹，或加 --restart 重做",
                ) from None
        if len(whole) < len(raw):
            with path.open("r+b") as stream:
                stream.truncate(len(whole))

    @property
    def run(self) -> str:
        """What no other run is called; of a run that has begun."""
        assert self.header is not None
        return str(self.header["run"])

    def begin(self, header: dict[str, Any]) -> None:
        """Write the header of a new run; what stood there goes."""
        (self.folder / FILE).unlink(missing_ok=True)
        self.header = {"format": FORMAT, "run": uuid.uuid4().hex, **header}
        self._append(self.header)

    def add(self, shard: Shard) -> None:
        """Record a finished shard; a later record of the same shard replaces it."""
        self.shards[shard.key] = shard
        self._append(asdict(shard))

    def _append(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            with (self.folder / FILE).open("ab") as stream:
                stream.write(line.encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as fault:
            raise UsageError(
                f"清单写不进去：{fault.strerror or fault}；已完成的分片保留，腾出空间后重新运行同一命令即可继续"
            ) from None

    def files(self, folder: str) -> Iterator[tuple[str, Path]]:
        """Yield key and path of the files below ``folder`` of the run's own folder, in order."""
        start = f"{FOLDER}/{folder}/"
        for key in sorted(self.shards):
            for file in self.shards[key].files:
                if file.path.startswith(start):
                    yield key, self.output / file.path

    def intact(self, shard: Shard) -> bool:
        """Say whether all files of a shard are there, unaltered."""
        for file in shard.files:
            path = self.output / file.path
            if not path.is_file() or path.stat().st_size != file.bytes:
                return False
            if sha256_of(path) != file.sha256:
                return False
        return True


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold the output folder for one run; the lock goes with the process and its workers.

    Raises
    ------
    UsageError
        If another run holds it, or the folder cannot be written.
    """
    try:
        (output / FOLDER).mkdir(parents=True, exist_ok=True)
        stream = (output / FOLDER / "lock").open("w")
    except OSError as fault:
        raise UsageError(f"无法写入输出文件夹 {output}：{fault.strerror or fault}") from None
    with stream:
        deadline = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                # The workers of a run that was just killed need a moment to go.
                if time.monotonic() > deadline:
                    raise UsageError(f"另一个重标任务正在写 {output}；请等它结束") from None
                time.sleep(0.1)
        yield
