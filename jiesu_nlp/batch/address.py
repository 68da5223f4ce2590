"""Addresses of databases and other places: read, and shown without what opens them."""

from __future__ import annotations

from typing import Any

from jiesu_nlp.batch.extras import need
from jiesu_nlp.errors import UsageError


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
    # An unescaped @ behind the mark: what is password and what is host cannot be told.
    kept = "***" if "@" in query else place.rpartition("@")[2]
    return scheme + sign + kept + mark + ("***" if query else "")
