"""Example of an order system's client, safe to repeat and to interrupt.

    JIESU_KEY=jk_… python deploy/client.py suggest 工单编号 "方庄芳古园一区门口路灯坏了半个月没人修"
    JIESU_KEY=jk_… python deploy/client.py pull 游标文件          # 新的派单建议与处理结果，一行一个 JSON

Uses the standard library only.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

BASE = os.environ.get("JIESU_URL", "http://127.0.0.1:8000")
ATTEMPTS = 8
# Busy, or the service is being restarted behind a proxy.
AGAIN = (429, 502, 503, 504)
LONGEST_PAUSE = 30.0


def call(path: str, body: dict[str, Any] | None = None, key: str = "") -> dict[str, Any]:
    """Get, or post with one idempotency key; repeat while the service is away or busy."""
    headers = {"Authorization": f"Bearer {os.environ['JIESU_KEY']}"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(BASE + path, data, headers)
    for attempt in range(ATTEMPTS):
        pause = min(0.2 * 2**attempt, 5.0)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as fault:
            if fault.code not in AGAIN:
                raise SystemExit(reason_of(fault)) from None
            after = fault.headers.get("Retry-After", "")
            if after.isascii() and after.isdigit():
                pause = min(float(after), LONGEST_PAUSE)
        except (OSError, http.client.HTTPException):
            pass  # Away, restarting, or silent for too long.
        except ValueError:
            raise SystemExit(f"{BASE} 的答复不是 JSON，请核对 JIESU_URL 与反向代理") from None
        time.sleep(pause)
    raise SystemExit("服务连不上，请稍后再试")


def reason_of(fault: urllib.error.HTTPError) -> str:
    """Return what the service says, or the status where a proxy answered in its stead."""
    try:
        return str(json.load(fault)["detail"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return f"HTTP {fault.code}（{BASE} 的答复不是服务给出的，请核对 JIESU_URL 与反向代理）"


def suggest(identity: str, text: str) -> None:
    """Ask for a suggestion for the ticket of that id and accept its first demand."""
    ticket = {"id": identity, "text": text}
    # The same ticket has the same key in every run; an id may hold what a header may not.
    key = hashlib.sha256(identity.encode()).hexdigest()
    suggestion = call("/v1/suggestions", ticket, key=key)
    demand = suggestion["demands"][0]
    print(" › ".join(demand["categories"][0]["path"]), "→", demand["unit"]["name"])  # noqa: T201
    decision = {"suggestion_id": suggestion["suggestion_id"], "demand": 0, "kind": "accepted"}
    print(call("/v1/decisions", decision, key=f"decision-{suggestion['suggestion_id']}-0"))  # noqa: T201


def pull(file: Path) -> None:
    """Print what is new since the cursor in the file, and move the cursor on.

    The cursor is kept only after a page was dealt with: after a crash the page comes again, so who
    takes it in must pass over ids that he has.
    """
    cursor = file.read_text().strip() if file.exists() else "0"
    more = True
    while more:
        page = call(f"/v1/events?after={cursor}")
        for event in page["events"]:
            print(json.dumps(event, ensure_ascii=False))  # noqa: T201
        sys.stdout.flush()
        cursor, more = page["next"], page["more"]
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_text(cursor)
        temporary.replace(file)


def main() -> None:
    """Run one of the two examples."""
    match sys.argv[1:]:
        case ["pull", file]:
            pull(Path(file))
        case ["suggest", identity, text]:
            suggest(identity, text)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
