"""Push events to the order system: the feed is the queue, a cursor on disk says how far it has come.

Delivered at least once and in order. The address comes from the administrator's environment and must
lie in the intranet; nothing is sent elsewhere, and redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from jiesu_nlp.errors import UsageError
from jiesu_nlp.files import replace_file
from service.store.feed import last_cursor, read_events

_log = logging.getLogger("jiesu.service")
_POLL_SECONDS = 1.0
_MOST_SECONDS = 60.0
_PAGE = 100
_TIMEOUT = 10.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as the error it is here."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


class Webhook:
    """Delivers the feed to one address, page by page."""

    def __init__(self, engine: Engine, url: str, secret: str, folder: Path) -> None:
        host_of(url)
        self.engine = engine
        self.url = url
        self.failures = 0
        self._secret = secret.encode()
        self._file = folder / "webhook.json"
        # Without a proxy: what the environment names for the internet must not see this.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def run(self, stopping: threading.Event) -> None:
        """Deliver until told to stop; wait longer after each failure, up to a minute."""
        wait = _POLL_SECONDS
        while not stopping.wait(wait):
            try:
                while self.deliver() and not stopping.is_set():
                    pass
                wait = _POLL_SECONDS
            except (
                OSError,
                http.client.HTTPException,
                UsageError,
                SQLAlchemyError,
                ValueError,
            ) as fault:
                self.failures += 1
                wait = min(2 * wait, _MOST_SECONDS)
                _log.warning("webhook, next try in %.0f s: %s", wait, fault)

    def deliver(self) -> bool:
        """Send the next page; whether there was one.

        Raises
        ------
        OSError, HTTPException
            If the other side does not answer with 2xx; the page is sent again.
        """
        cursor = self._cursor()
        events = read_events(self.engine, after=cursor, limit=_PAGE)
        if not events:
            return False
        self._send(events)
        self._keep(int(events[-1]["cursor"]))
        return True

    def _send(self, events: Sequence[dict[str, Any]]) -> None:
        body = json.dumps({"events": events}, ensure_ascii=False).encode()
        moment = str(int(time.time()))
        check_address(self.url)
        request = urllib.request.Request(
            self.url,
            body,
            {
                "Content-Type": "application/json",
                "X-Jiesu-Timestamp": moment,
                "X-Jiesu-Signature": "sha256=" + sign(self._secret, moment, body),
            },
        )
        with self._opener.open(request, timeout=_TIMEOUT) as answer:
            answer.read(1024)

    def _cursor(self) -> int:
        try:
            return int(json.loads(self._file.read_bytes())["cursor"])
        except FileNotFoundError:
            # From now on; what came before is there to be pulled.
            newest = last_cursor(self.engine)
            self._keep(newest)
            return newest
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"推送进度损坏：{self._file}；删除它即从最新处重新开始") from None

    def _keep(self, cursor: int) -> None:
        replace_file(self._file, json.dumps({"cursor": cursor}).encode())


def sign(secret: bytes, moment: str, body: bytes) -> str:
    """Return the signature that the receiver computes anew: HMAC-SHA256 of ``moment.body``."""
    return hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest()


def check_address(url: str) -> None:
    """Refuse an address outside the intranet.

    Raises
    ------
    UsageError
        If the URL is none of HTTP, or its host has a public address.
    OSError
        If the host is not found.
    """
    host, port = host_of(url)
    for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address = ipaddress.ip_address(str(found[4][0]).partition("%")[0])
        if not address.is_private or address.is_unspecified or address.is_multicast:
            raise UsageError(f"推送地址 {host}（{address}）不在内网，不推送")


def host_of(url: str) -> tuple[str, int]:
    """Return host and port of an HTTP address.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        parts, port = None, 0
    if parts is None or not parts.hostname:
        raise UsageError(f"推送地址 JIESU_WEBHOOK_URL 应形如 http://主机:端口/路径，现在是“{url}”")
    return parts.hostname, port
