"""What belongs together in history: near-duplicates, same matters, repeated callers, rises.

Works on answered tickets (the output of ``jiesu relabel``). Near-duplicates: texts are compared by
their three-character shingles with digits (:mod:`jiesu_nlp.text.near_duplicates`): another house is
another matter. Same matters: tickets of one
place whose matter vectors (the bundle's own) point the same way, however worded.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control

from jiesu_nlp import ticket
from jiesu_nlp.text.near_duplicates import duplicate_groups

_BASE_WEEKS = 8


@dataclass(frozen=True, slots=True)
class Rise:
    """A matter that came more often at a place in one week than in the weeks before.

    ``expected`` is the mean of the weeks before; ``p`` is one-sided, ``q`` after Benjamini and
    Hochberg over all matters and places that were tested in the same run.
    """

    place: str
    code: str
    week: dt.date
    count: int
    expected: float
    p: float
    q: float


def near_duplicates(texts: Sequence[str], threshold: float = 0.6) -> list[list[int]]:
    """Return groups of two and more near-equal texts, largest first, members in order.

    Parameters
    ----------
    texts
        Tickets.
    threshold
        Least Jaccard similarity of two texts that are joined directly.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    found = duplicate_groups(texts, threshold=threshold, digits=True)
    for i, group in enumerate(found.tolist()):
        groups[group].append(i)
    return sorted((g for g in groups.values() if len(g) > 1), key=lambda g: (-len(g), g[0]))


def same_matters(
    texts: Sequence[str],
    places: Sequence[str | None],
    vectors: Callable[[list[str]], NDArray[np.float32]],
    threshold: float = 0.5,
) -> list[list[int]]:
    """Return groups of two and more tickets of one matter at one place, largest first.

    The index has a shelf per place. On it each ticket in turn joins the group whose first ticket is
    nearest, or begins one: no chain of small steps leads from one matter to another.

    Parameters
    ----------
    texts
        Tickets.
    places
        Of each ticket; one without a place belongs to none.
    vectors
        Gives the matter vectors of texts, shape ``(n, rank)``, any length.
    threshold
        Least cosine to the first ticket of a group.
    """
    shelves: dict[str, list[int]] = defaultdict(list)
    for i, place in enumerate(places):
        if place:
            shelves[place].append(i)
    found: list[list[int]] = []
    for members in shelves.values():
        if len(members) < 2:
            continue
        rows = vectors([texts[i] for i in members])
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        firsts = np.empty_like(rows)
        groups: list[list[int]] = []
        for i, row in zip(members, rows, strict=True):
            near = firsts[: len(groups)] @ row
            best = int(near.argmax()) if groups else 0
            if groups and near[best] >= threshold:
                groups[best].append(i)
            else:
                firsts[len(groups)] = row
                groups.append([i])
        found += [g for g in groups if len(g) > 1]
    return sorted(found, key=lambda g: (-len(g), g[0]))


def pseudonyms(callers: Sequence[str | None]) -> list[str | None]:
    """Return callers by names that mean nothing outside this call, equal where they are equal."""
    key = secrets.token_bytes(32)
    return [
        None
        if c is None
        else "P" + blake2b(c.encode(errors="replace"), key=key, digest_size=5).hexdigest()
        for c in callers
    ]


def repeated_callers(
    callers: Iterable[str | None], codes: Iterable[str]
) -> list[tuple[str, int, str, int]]:
    """Return callers with several tickets of one matter: caller, all tickets, matter, its tickets."""
    total: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for caller, code in zip(callers, codes, strict=True):
        if caller:
            total[caller] += 1
            pairs[caller, code] += 1
    found = [(who, total[who], code, n) for (who, code), n in pairs.items() if n > 1]
    return sorted(found, key=lambda f: (-f[3], f[0], f[2]))


def day_of(stamp: object) -> dt.date | None:
    """Return the day of a time stamp (text, date or time) as a ticket's, ``None`` if it is none."""
    return ticket.day_of(str(stamp or ""))


def days_of(stamps: Iterable[object]) -> tuple[list[dt.date | None], int]:
    """Return the day of each time stamp, and how many there are that cannot be read."""
    days, unread = [], 0
    for stamp in stamps:
        day = day_of(stamp)
        days.append(day)
        unread += day is None and bool(str("" if stamp is None else stamp).strip())
    return days, unread


def rising(
    days: Sequence[dt.date | None],
    places: Sequence[str | None],
    codes: Sequence[str],
    *,
    week: dt.date | None = None,
    least: int = 5,
    level: float = 0.05,
) -> list[Rise]:
    """Find matters that rise in a week against the weeks before it at the same place.

    Given the sum, the count of one of ``n`` weeks of equal Poisson rates is binomial with share
    ``1/n``: the exact conditional test of two rates, which also holds for small counts.

    Parameters
    ----------
    days, places, codes
        Of each ticket; tickets without a day or a place are left out.
    week
        A day of the week to look at; the last whole week in the data by default.
    least
        Fewer tickets in the week are not shown (they are tested and counted all the same).
    level
        Greatest share of false discoveries.
    """
    known = [d for d in days if d is not None]
    if not known:
        return []
    if week is None:
        last = max(known)
        week = last - dt.timedelta(days=last.weekday() + (0 if last.weekday() == 6 else 7))
    monday = week - dt.timedelta(days=week.weekday())
    # Not more weeks before than the data reach back, or a short history looks like a rise.
    base = min(_BASE_WEEKS, (monday - min(known)).days // 7)
    if base < 1:
        return []
    now: Counter[tuple[str, str]] = Counter()
    before: Counter[tuple[str, str]] = Counter()
    for day, place, code in zip(days, places, codes, strict=True):
        if day is None or not place:
            continue
        weeks = (monday - day).days / 7
        if -1 < weeks <= 0:
            now[place, code] += 1
        elif 0 < weeks <= base:
            before[place, code] += 1
    keys = sorted(now)
    if not keys:
        return []
    p = [float(binom.sf(now[k] - 1, now[k] + before[k], 1 / (base + 1))) for k in keys]
    q = false_discovery_control(np.array(p))
    found = [
        Rise(place, code, monday, now[place, code], before[place, code] / base, pi, float(qi))
        for (place, code), pi, qi in zip(keys, p, q, strict=True)
        if qi <= level and now[place, code] >= least
    ]
    return sorted(found, key=lambda r: (r.q, -r.count, r.place, r.code))
