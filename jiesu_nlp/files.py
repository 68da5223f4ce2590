"""Files that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

from jiesu_nlp.errors import UsageError


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it over it.

    Raises
    ------
    UsageError
        If the disk refuses; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as fault:
        raise UsageError(f"无法写入 {path}：{fault.strerror or fault}") from None
    finally:
        temporary.unlink(missing_ok=True)
