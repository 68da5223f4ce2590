"""Addresses of databases and other places: read, told apart, and shown without what opens them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from jiesu_nlp.batch.extras import need
from jiesu_nlp.errors import UsageError

MASK = "***"
# Their addresses are paths, in which an @ is a letter like any other.
_FILES = ("sqlite", "file")
# Options that open a server and do not choose it; those that nobody knows choose it.
_OPENS = r"user(?:name)?|uid|\w*pass(?:w\w*|file)?|pwd|ssl\w*|\w*timeout|application_name"
_OPENING = re.compile(_OPENS, re.IGNORECASE)
_ODBC_OPENING = re.compile(rf"(?:^|;)\s*(?:{_OPENS})\s*=\s*(?:\{{(?:[^}}]|\}}\}})*\}}|[^;]*)", re.I)


def parsed(address: str, purpose: str) -> Any:
    """Return the SQLAlchemy URL of a database.

    Parameters
    ----------
    address
        As the user wrote it.
    purpose
        What it is for, should SQLAlchemy be missing.

    Raises
    ------
    UsageError
        If it is none.
    """
    sql = need("sqlalchemy", "tables", purpose)
    try:
        return sql.make_url(address)
    except (sql.exc.ArgumentError, ValueError):
        raise UsageError(
            "数据库地址写法不对；应如 postgresql+psycopg://用户:密码@主机:5432/库"
            "（端口是数字，密码里的特殊字符写成 %XX）"
        ) from None


def shown(address: str) -> str:
    """Return an address as it may be kept and shown: without user, password and parameters.

    Which parameters are secret is known to the driver alone: all are masked.
    """
    scheme, sign, rest = address.partition("://")
    place, mark, query = rest.partition("?")
    if scheme.partition("+")[0] in _FILES and rest.startswith("/"):
        kept = place
    else:
        # An unescaped @ behind the mark: what is password and what is host cannot be told.
        kept = MASK if "@" in query else place.rpartition("@")[2]
    return scheme + sign + kept + mark + (MASK if query else "")


def identity(address: str, table: str) -> str:
    """Return a digest that tells a table of a database from every other.

    User, password and what else opens the server are no part of it: they change, and whoever reads
    the digest shall not be able to guess at them.
    """
    url = parsed(address, "写数据库")
    options = {
        name: value if isinstance(value, str) else list(value)
        for name, value in url.query.items()
        if not _OPENING.fullmatch(name)
    }
    if isinstance(odbc := options.get("odbc_connect"), str):
        options["odbc_connect"] = _ODBC_OPENING.sub("", odbc).strip("; ")
    chosen = (
        url.get_backend_name(),
        (url.host or "").lower(),
        url.port,
        # Without one, servers take the user's.
        url.database or url.username,
        sorted(options.items()),
        table,
    )
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()
