"""The beginning of a ticket as it may be shown: redacted, on one line, not too long."""

from __future__ import annotations

from jiesu_nlp.text.redact import redact


def excerpt(text: str, length: int, *, start: int = 0) -> str:
    """Return at most ``length`` redacted characters from ``start`` on, with … if there are more."""
    plain = " ".join(redact(text)[start:].split())
    return plain if len(plain) <= length else plain[:length] + "…"
