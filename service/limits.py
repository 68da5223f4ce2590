"""Bounds of what one client may ask: requests per second, size of a body; and the safe headers."""

from __future__ import annotations

import json
import time
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import MEDIA_TYPE, problem_body

_MOST_BUCKETS = 10_000
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A report is one file that styles itself. Sandboxed it can run nothing and belongs to no site, so that
# not even a foreign file put in its place could do harm.
_REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Buckets:
    """Token buckets by name: ``rate`` per second, bursts of twice that or ``burst``."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate = rate
        self.burst = burst if burst is not None else max(1.0, 2 * rate)
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, cost: float = 1.0) -> float:
        """Take tokens; return 0, or after how many seconds there will be enough."""
        now = time.monotonic()
        level, since = self._levels.pop(name, (self.burst, now))
        level = min(self.burst, level + (now - since) * self.rate)
        # A cost above the burst passes when the bucket is full, else it could never pass.
        need = min(cost, self.burst)
        wait = 0.0 if level >= need else (need - level) / self.rate
        self._levels[name] = (level - cost if wait == 0.0 else level, now)
        if len(self._levels) > _MOST_BUCKETS:
            self._levels.popitem(last=False)
        return wait

    def give_back(self, name: str, cost: float = 1.0) -> None:
        """Return tokens that were taken for what turned out to be in order."""
        if name in self._levels:
            level, since = self._levels[name]
            self._levels[name] = (min(self.burst, level + cost), since)


class Guard:
    """ASGI wrapper: refuses bodies that are too big and adds the security headers."""

    def __init__(self, app: ASGIApp, *, body_limit: int, secure: bool) -> None:
        self.app = app
        self.body_limit = body_limit
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its bounds."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0
        too_big = False
        started = False

        async def bounded() -> Message:
            nonlocal seen, too_big
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self.body_limit:
                    too_big = True
                    return {"type": "http.disconnect"}
            return message

        async def answer(message: Message) -> None:
            nonlocal started
            if too_big and not started:
                return
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *self._headers(scope["path"])]
            await send(message)

        declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self.body_limit:
            await self._refuse(scope, send)
            return
        try:
            await self.app(scope, bounded, answer)
        except Exception:
            if not too_big:
                raise
        if too_big and not started:
            await self._refuse(scope, send)

    def _headers(self, path: str) -> list[tuple[bytes, bytes]]:
        policy = _REPORT_POLICY if path.startswith("/reports/") else _PAGE_POLICY
        headers = [*_HEADERS, (b"content-security-policy", policy.encode())]
        # Scripts are asked for anew: after an upgrade, old ones must not meet new pages.
        caching = b"no-cache" if path.startswith("/static/") else b"no-store"
        headers.append((b"cache-control", caching))
        if self.secure:
            headers.append((b"strict-transport-security", b"max-age=31536000"))
        return headers

    async def _refuse(self, scope: Scope, send: Send) -> None:
        mib = self.body_limit / 1024 / 1024
        body = problem_body(
            413, "too-big", f"请求正文超过上限 {mib:g} MiB；大批工单请分批提交", scope["path"]
        )
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
        await send(
            {
                "type": "http.response.start",
                "status": 413,
                "headers": [*headers, *self._headers(scope["path"])],
            }
        )
        await send(
            {"type": "http.response.body", "body": json.dumps(body, ensure_ascii=False).encode()}
        )
