"""A file of JSON lines that is whole or absent, written line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import UsageError


@contextmanager
def rows_file(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Open a JSONL file; yields the function that writes one row.

    Raises
    ------
    UsageError
        If the disk refuses; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # What UTF-8 cannot hold, half a surrogate pair, becomes its JSON escape.
        with temporary.open(
            "w", encoding="utf-8", errors="backslashreplace", newline="\n"
        ) as stream:

            def write(row: Mapping[str, Any]) -> None:
                stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

            yield write
        temporary.replace(path)
    except OSError as fault:
        raise UsageError(f"写 {path} 失败：{fault.strerror or fault}；没有留下半截文件") from fault
    finally:
        temporary.unlink(missing_ok=True)
