"""Hash passwords with scrypt, keys with SHA-256; compare in constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from jiesu_nlp.errors import UsageError

_N, _R, _P = 2**14, 8, 1
LEAST_PASSWORD = 10


def hash_password(password: str) -> str:
    """Return ``scrypt$salt$digest``.

    Raises
    ------
    UsageError
        If the password is too short.
    """
    if len(password) < LEAST_PASSWORD:
        raise UsageError(f"口令至少 {LEAST_PASSWORD} 个字符")
    salt = secrets.token_bytes(16)
    return f"scrypt${_b64(salt)}${_b64(_scrypt(password, salt))}"


def check_password(password: str, stored: str) -> bool:
    """Whether the password is the one that was hashed."""
    try:
        scheme, salt, digest = stored.split("$")
        expected, raw_salt = base64.b64decode(digest), base64.b64decode(salt)
    except ValueError:
        return False
    return scheme == "scrypt" and hmac.compare_digest(_scrypt(password, raw_salt), expected)


def new_password() -> str:
    """Return a password that a person can type."""
    return "-".join(secrets.token_hex(2) for _ in range(4))


def new_key() -> tuple[str, str, str]:
    """Return a new key's id, the whole key to be shown once, and the digest to store."""
    identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    return identity, f"jk_{identity}_{secret}", digest_of(secret)


def split_key(key: str) -> tuple[str, str] | None:
    """Return id and secret of a key; ``None`` if it is none."""
    parts = key.split("_", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "jk" else None


def digest_of(secret: str) -> str:
    """Return the digest of a long random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, digest: str) -> bool:
    """Whether a secret has this digest."""
    return hmac.compare_digest(digest_of(secret), digest)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
