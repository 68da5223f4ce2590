"""Example of an order system's client: a suggestion, then the decision, safe to repeat.

    JIESU_KEY=jk_… python deploy/client.py "方庄芳古园一区门口路灯坏了半个月没人修"

Uses the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

BASE = os.environ.get("JIESU_URL", "http://127.0.0.1:8000")


def call(path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Post with one idempotency key; repeat while the service is away or busy."""
    request = urllib.request.Request(
        BASE + path,
        json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {os.environ['JIESU_KEY']}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        },
    )
    for attempt in range(8):
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as fault:
            problem = json.load(fault)
            if fault.code not in (429, 503):
                raise SystemExit(problem["detail"]) from None
            time.sleep(float(fault.headers.get("Retry-After", 1)))
        except urllib.error.URLError:
            time.sleep(min(0.2 * 2**attempt, 5))
    raise SystemExit("服务连不上，请稍后再试")


def main() -> None:
    """Ask for a suggestion and accept its first demand."""
    ticket = {"id": "示例-1", "text": sys.argv[1]}
    suggestion = call("/v1/suggestions", ticket, key=f"ticket-{uuid.uuid4()}")
    demand = suggestion["demands"][0]
    print(" › ".join(demand["categories"][0]["path"]), "→", demand["unit"]["name"])  # noqa: T201
    decision = {"suggestion_id": suggestion["suggestion_id"], "demand": 0, "kind": "accepted"}
    print(call("/v1/decisions", decision, key=f"decision-{suggestion['suggestion_id']}-0"))  # noqa: T201


if __name__ == "__main__":
    main()
