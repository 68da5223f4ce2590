"""Who may: accounts, sessions and API keys, kept in memory so that they outlive a store that is away.

The memory is refreshed from the store every few seconds: a revoked key or a closed account ends on
every instance soon, and on the instance that did it at once.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from jiesu_nlp.errors import UsageError
from service.passwords import check_password, hash_password, matches, new_key, split_key
from service.store.tables import account, api_key, session, stamp

_REFRESH_SECONDS = 5.0


class Role(StrEnum):
    """A role may do what the roles before it may."""

    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Whether this role includes another."""
        order = list(Role)
        return order.index(self) >= order.index(other)

    @property
    def label(self) -> str:
        """How a person reads it."""
        return {"operator": "派单员", "engineer": "工程师", "admin": "管理员"}[self.value]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. ``csrf`` is set for a browser session."""

    name: str
    role: Role
    csrf: str | None = None

    @property
    def actor(self) -> str:
        """How records name them."""
        return f"user:{self.name}" if self.csrf is not None else f"key:{self.name}"


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    role: Role
    password: str
    active: bool


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    name: str
    role: Role
    digest: str
    revoked: bool


@dataclass(frozen=True, slots=True)
class _Session:
    account: str
    csrf: str
    expires_at: str


class Access:
    """Accounts, sessions and keys of the store."""

    def __init__(self, engine: Engine, *, session_hours: float = 10.0) -> None:
        self.engine = engine
        self.session_hours = session_hours
        self._accounts: dict[str, _Account] = {}
        self._keys: dict[str, _Key] = {}
        self._sessions: dict[str, _Session] = {}
        # Held from the store to memory, so that a refresh does not undo what came after its look.
        self._lock = threading.Lock()
        self._fresh_at = 0.0

    def refresh(self, *, force: bool = False) -> None:
        """Read everything again if it is old; an unreachable store leaves it as it is."""
        if not force and time.monotonic() - self._fresh_at < _REFRESH_SECONDS:
            return
        with self._lock:
            self._read()

    def _read(self) -> None:
        try:
            with self.engine.connect() as c:
                accounts = {
                    r.name: _Account(r.name, Role(r.role), r.password, r.active)
                    for r in c.execute(select(account))
                }
                keys = {
                    r.id: _Key(r.id, r.name, Role(r.role), r.digest, r.revoked_at is not None)
                    for r in c.execute(select(api_key))
                }
                sessions = {
                    r.id: _Session(r.account, r.csrf, r.expires_at)
                    for r in c.execute(select(session).where(session.c.expires_at > stamp()))
                }
        except (SQLAlchemyError, OSError):
            self._fresh_at = time.monotonic()
            return
        self._accounts, self._keys, self._sessions = accounts, keys, sessions
        self._fresh_at = time.monotonic()

    # Keys.

    def by_key(self, key: str) -> Principal | None:
        """Return who a key stands for."""
        parts = split_key(key)
        if parts is None:
            return None
        known = self._keys.get(parts[0])
        if known is None or known.revoked or not matches(parts[1], known.digest):
            return None
        return Principal(known.name, known.role)

    def add_key(self, name: str, role: Role) -> str:
        """Make a key and return it; it is never shown again."""
        if not name.strip():
            raise UsageError("请给密钥起个名字，例：工单系统")
        identity, key, digest = new_key()
        with self.engine.begin() as c:
            c.execute(
                insert(api_key).values(
                    id=identity, name=name, role=role.value, digest=digest, created_at=stamp()
                )
            )
        self.refresh(force=True)
        return key

    def revoke_key(self, identity: str) -> None:
        """End a key.

        Raises
        ------
        UsageError
            If there is none of that id, or it ended already.
        """
        with self.engine.begin() as c:
            done = c.execute(
                update(api_key)
                .where(api_key.c.id == identity, api_key.c.revoked_at.is_(None))
                .values(revoked_at=stamp())
            )
        if done.rowcount == 0:
            raise UsageError(f"没有编号为“{identity}”的有效密钥；用 jiesu key list 查看")
        self.refresh(force=True)

    def api_keys(self) -> list[Mapping[str, Any]]:
        """Return all keys without their digests, oldest first."""
        columns = [c for c in api_key.c if c.name != "digest"]
        with self.engine.connect() as c:
            return [
                dict(r._mapping) for r in c.execute(select(*columns).order_by(api_key.c.created_at))
            ]

    # Accounts.

    def add_account(self, name: str, role: Role, password: str) -> None:
        """Make an account.

        Raises
        ------
        UsageError
            If the name is taken or unusable, or the password too short.
        """
        if not 1 <= len(name.strip()) <= 64 or name != name.strip():
            raise UsageError("用户名应为 1 到 64 个字符，首尾不留空格")
        row = {"name": name, "role": role.value, "password": hash_password(password)}
        try:
            with self.engine.begin() as c:
                c.execute(insert(account).values(**row, active=True, created_at=stamp()))
        except IntegrityError:
            raise UsageError(f"用户“{name}”已存在") from None
        self.refresh(force=True)

    def change_account(
        self,
        name: str,
        *,
        password: str | None = None,
        role: Role | None = None,
        active: bool | None = None,
    ) -> None:
        """Change an account; its sessions end.

        Raises
        ------
        UsageError
            If there is no such account.
        """
        values: dict[str, Any] = {}
        if password is not None:
            values["password"] = hash_password(password)
        if role is not None:
            values["role"] = role.value
        if active is not None:
            values["active"] = active
        with self.engine.begin() as c:
            done = c.execute(update(account).where(account.c.name == name).values(**values))
            c.execute(delete(session).where(session.c.account == name))
        if done.rowcount == 0:
            raise UsageError(f"没有用户“{name}”；用 jiesu user list 查看")
        self.refresh(force=True)

    def accounts(self) -> list[Mapping[str, Any]]:
        """Return all accounts without their passwords."""
        columns = [c for c in account.c if c.name != "password"]
        with self.engine.connect() as c:
            return [dict(r._mapping) for r in c.execute(select(*columns).order_by(account.c.name))]

    # Sessions.

    def log_in(self, name: str, password: str) -> tuple[str, Principal] | None:
        """Check the password and open a session; return its cookie and who it is.

        Raises
        ------
        SQLAlchemyError
            If the store does not answer: a session must be known to all instances.
        """
        self.refresh(force=True)
        known = self._accounts.get(name)
        # The same work for unknown names, so that time does not tell which exist.
        good = check_password(password, known.password if known else _NOBODY)
        if known is None or not good or not known.active:
            return None
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        expires_at = stamp(datetime.now(UTC) + timedelta(hours=self.session_hours))
        with self._lock:
            with self.engine.begin() as c:
                c.execute(delete(session).where(session.c.expires_at <= stamp()))
                c.execute(
                    insert(session).values(
                        id=_cookie_digest(token),
                        account=name,
                        csrf=csrf,
                        created_at=stamp(),
                        expires_at=expires_at,
                    )
                )
            self._sessions[_cookie_digest(token)] = _Session(name, csrf, expires_at)
        return token, Principal(name, known.role, csrf)

    def by_cookie(self, token: str) -> Principal | None:
        """Return who a session cookie stands for."""
        known = self._sessions.get(_cookie_digest(token))
        if known is None or known.expires_at <= stamp():
            return None
        owner = self._accounts.get(known.account)
        if owner is None or not owner.active:
            return None
        return Principal(owner.name, owner.role, known.csrf)

    def log_out(self, token: str) -> None:
        """Close a session."""
        with self._lock:
            self._sessions.pop(_cookie_digest(token), None)
            with self.engine.begin() as c:
                c.execute(delete(session).where(session.c.id == _cookie_digest(token)))


def _cookie_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


_NOBODY = "scrypt$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 86 + "=="
