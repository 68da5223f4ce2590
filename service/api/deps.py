"""What every route asks for: the service, who asks, and in which role."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from service.access import Principal, Role
from service.core import Service
from service.problems import Problem

COOKIE = "jiesu_session"
_SAFE = ("GET", "HEAD", "OPTIONS")


def service_of(request: Request) -> Service:
    """Return the running instance."""
    service: Service = request.app.state.service
    return service


async def _service(request: Request) -> Service:
    # FastAPI would call a plain function on another thread.
    return service_of(request)


def principal_of(request: Request) -> Principal | None:
    """Return who asks, by API key or session cookie; ``None`` if nobody known."""
    service = service_of(request)
    key = request.headers.get("x-api-key")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if key is None and scheme.lower() == "bearer":
        key = token.strip()
    if key is not None:
        return service.access.by_key(key)
    cookie = request.cookies.get(COOKIE)
    return service.access.by_cookie(cookie) if cookie else None


def require(role: Role) -> Callable[..., Principal]:
    """Return a dependency that lets in who has the role, within their rate."""

    async def check(request: Request) -> Principal:
        who = principal_of(request)
        if who is None:
            raise Problem(
                401, "unauthenticated", "请登录派单台，或在 Authorization: Bearer 里给出有效的密钥"
            )
        if who.csrf is not None and request.method not in _SAFE:
            check_origin(request)
            given = request.headers.get("x-csrf-token", "")
            if not hmac.compare_digest(given.encode(), who.csrf.encode()):
                raise Problem(403, "csrf", "页面已过期，请刷新后重试")
        if not who.role.covers(role):
            raise Problem(403, "forbidden", f"需要{role.label}权限，当前是{who.role.label}")
        throttle(service_of(request), who)
        return who

    return check  # type: ignore[return-value]


def throttle(service: Service, who: Principal, cost: float = 1.0) -> None:
    """Take from the rate of a key or user.

    Raises
    ------
    Problem
        429 with ``Retry-After``.
    """
    wait = service.buckets.take(who.actor, cost)
    if wait > 0:
        raise Problem(
            429, "rate", "请求超过该密钥的频率上限，请稍后重试", retry_after=max(1, round(wait))
        )


def check_origin(request: Request) -> None:
    """Refuse a browser's request that another site caused."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    foreign = site not in (None, "same-origin", "none")
    # A sandboxed page says "null": not ours either.
    if foreign or (origin is not None and origin.partition("://")[2] != host):
        raise Problem(403, "csrf", "请求来自其他网站，已拒绝")


def peer_of(request: Request) -> str | None:
    """Return the address of the client."""
    return request.client.host if request.client else None


AService = Annotated[Service, Depends(_service)]
Operator = Annotated[Principal, Depends(require(Role.OPERATOR))]
Engineer = Annotated[Principal, Depends(require(Role.ENGINEER))]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
