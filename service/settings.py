"""What an instance runs with, from the environment; refuses to start on a default secret."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jiesu_nlp.errors import UsageError

_LEAST_SECRET = 32
_PLACEHOLDER = re.compile(
    r"change.?this|change.?me|secret.?key|example|placeholder|(.)\1{15,}", re.I
)
_MAKE_SECRET = "$(openssl rand -hex 32)"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """Settings of one instance.

    Attributes
    ----------
    data
        Folder of this instance alone: spool and, by default, the SQLite file.
    database_url
        SQLAlchemy URL.
    secret
        Key of the pseudonyms of requesters.
    rate
        Requests per second and key; bursts may be twice as many.
    most_in_flight
        Requests for suggestions under way before new ones are answered with 503.
    webhook_url, webhook_secret
        Where events are pushed to, if anywhere, and the key of their signatures.
    """

    data: Path
    database_url: str
    secret: str
    secure_cookies: bool = True
    rate: float = 300.0
    body_limit: int = 4 * MIB
    most_in_flight: int = 256
    session_hours: float = 10.0
    webhook_url: str | None = None
    webhook_secret: str = ""
    demo: bool = False


def data_dir(environment: Mapping[str, str] | None = None) -> Path:
    """Folder of the embedded store and the spool: ``JIESU_DATA`` or the user's data folder."""
    env = os.environ if environment is None else environment
    if env.get("JIESU_DATA"):
        return Path(env["JIESU_DATA"])
    home = env.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "jiesu" / "service"


def database_url(data: Path, environment: Mapping[str, str] | None = None) -> str:
    """``JIESU_DATABASE_URL``, else the SQLite file in the data folder."""
    env = os.environ if environment is None else environment
    url = env.get("JIESU_DATABASE_URL") or f"sqlite:///{data / 'jiesu.db'}"
    # One driver is installed for PostgreSQL; the plain scheme must find it.
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of ``jiesu serve`` from the environment.

    Raises
    ------
    UsageError
        Naming the variable that is missing or wrong.
    """
    env = os.environ if environment is None else environment
    data = data_dir(env)
    return Settings(
        data=data,
        database_url=database_url(data, env),
        secret=_secret(env, "JIESU_SECRET"),
        secure_cookies=env.get("JIESU_COOKIE_SECURE", "1") != "0",
        rate=_number(env, "JIESU_RATE", 300.0),
        body_limit=int(_number(env, "JIESU_BODY_LIMIT_MIB", 4.0) * MIB),
        most_in_flight=int(_number(env, "JIESU_MOST_IN_FLIGHT", 256.0)),
        session_hours=_number(env, "JIESU_SESSION_HOURS", 10.0),
        webhook_url=env.get("JIESU_WEBHOOK_URL") or None,
        webhook_secret=_secret(env, "JIESU_WEBHOOK_SECRET") if env.get("JIESU_WEBHOOK_URL") else "",
    )


def _secret(env: Mapping[str, str], name: str) -> str:
    """Read a secret from its variable, or from the file that ``<name>_FILE`` names."""
    secret = env.get(name, "")
    file = env.get(f"{name}_FILE")
    if file and not secret:
        try:
            secret = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise UsageError(f"读不到密钥文件 {file}（{name}_FILE）：{fault}") from None
    if not secret:
        raise UsageError(
            f"没有设置密钥 {name}。处理办法：export {name}={_MAKE_SECRET}（妥善保存，各实例相同）；"
            "只想试用请运行 jiesu serve --demo"
        )
    if len(secret) < _LEAST_SECRET or _PLACEHOLDER.search(secret):
        raise UsageError(
            f"密钥 {name} 太短或是示例值（至少 {_LEAST_SECRET} 个字符）。"
            f"处理办法：export {name}={_MAKE_SECRET}"
        )
    return secret


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    raw = env.get(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise UsageError(f"环境变量 {name} 应为正数，现在是“{raw}”")
    return value
