"""Errors a user can act on: every message is Chinese and says where, what and how to mend it."""

from __future__ import annotations

from pathlib import Path


class JiesuError(Exception):
    """Base of all errors that are the user's to mend.

    Its text is shown to operators as it is, so it names the place, the cause and the remedy.
    ``exit_code`` is what the ``jiesu`` command returns.
    """

    exit_code = 1


class DataError(JiesuError):
    """A data file (catalogue, units, places, rules, tickets) is malformed.

    Parameters
    ----------
    message
        What is wrong, in Chinese.
    path
        The file.
    line
        One-based line, when known.
    field
        The field, when known.
    remedy
        What to do about it, in Chinese.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.path = path
        self.line = line
        self.field = field
        self.remedy = remedy
        where = "" if path is None else str(path)
        if line is not None:
            where += f" 第 {line} 行"
        if field is not None:
            where += f"（字段 {field}）"
        text = f"{where}：{message}" if where else message
        if remedy:
            text += f"。处理办法：{remedy}"
        super().__init__(text)


class BundleError(JiesuError):
    """A model bundle is missing, damaged, foreign or of a newer format."""

    exit_code = 4


class UsageError(JiesuError):
    """The command or call was given something it cannot work with."""

    exit_code = 2
