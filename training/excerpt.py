"""What of a data file may be shown: redacted, on one line, not too long."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jiesu_nlp.text.redact import redact

_MOST_NAMES = 30
# Sentences and long numbers are no names of columns.
_NO_NAME = re.compile(r"[，。！？；,!?;]|\d{6}|.{21}", re.DOTALL)


def excerpt(text: str, length: int, *, start: int = 0) -> str:
    """Return at most ``length`` redacted characters from ``start`` on, with … if there are more."""
    plain = " ".join(redact(text)[start:].split())
    return plain if len(plain) <= length else plain[:length] + "…"


def shown_names(names: Sequence[str], header: Sequence[str] = ()) -> str:
    """Return the names of a file's columns for a message, or only how many there are.

    The first row of a file without a header is a ticket, so where a name (or another one of the
    whole ``header``) looks like data none is shown.
    """
    if not names:
        return "（无）"
    if any(_NO_NAME.search(name) or redact(name) != name for name in (*names, *header)):
        return f"{len(names)} 列，但不像列名，恐含个人信息，故不显示；文件应以列名开头"
    return "、".join(names[:_MOST_NAMES]) + "…" * (len(names) > _MOST_NAMES)
