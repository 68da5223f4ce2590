"""Divide tickets into training, calibration and test: by time, repeated complaints together.

A group of near-duplicates goes where its earliest ticket goes, so the later parts hold only
matters that training never saw. If fewer than half of the tickets have a time, all are divided at
random; otherwise those without are trained on, since nothing shows that they are late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.errors import UsageError
from jiesu_nlp.text.near_duplicates import duplicate_groups
from training.tickets import LabelledTicket

Rows = NDArray[np.int64]
_MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class Split:
    """Ticket numbers of each part, and how the division was made.

    ``by_time`` tells whether the later tickets are those held out (else they are drawn at random);
    ``groups`` how many groups of
    near-duplicates there are, ``repeated`` how many tickets are in one with another.
    """

    train: Rows
    calibrate: Rows
    test: Rows
    by_time: bool
    groups: int
    repeated: int
    calibrate_from: str | None = None
    test_from: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the run record."""
        return {
            "train": len(self.train),
            "calibrate": len(self.calibrate),
            "test": len(self.test),
            "by_time": self.by_time,
            "groups": self.groups,
            "repeated": self.repeated,
            "calibrate_from": self.calibrate_from,
            "test_from": self.test_from,
        }


def split_tickets(
    tickets: Sequence[LabelledTicket],
    *,
    calibrate: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    groups: Rows | None = None,
    report: Callable[[float], None] = lambda done: None,
) -> Split:
    """Divide tickets.

    Parameters
    ----------
    calibrate, test
        Shares of the tickets, the last ones by time; a few more or less, as groups are kept whole.
    groups
        Near-duplicate groups, if known already.

    Raises
    ------
    UsageError
        If the shares leave nothing to train on.
    """
    if not (0 <= calibrate < 1 and 0 <= test < 1 and calibrate + test < 1):
        raise UsageError("校准与评测的比例应在 0 与 1 之间，且两者之和小于 1")
    n = len(tickets)
    if groups is None:
        groups = duplicate_groups([t.text for t in tickets], report=report)
    count = int(groups.max()) + 1 if n else 0
    stamps = np.array([t.created_at or "" for t in tickets])
    dated = stamps != ""
    by_time = bool(n) and float(dated.mean()) >= _MOSTLY
    if by_time:
        # Undated tickets sort first: they are trained on.
        order = np.argsort(stamps, kind="stable")
    else:
        shuffled = np.random.default_rng(seed).permutation(count)
        order = np.argsort(shuffled[groups], kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    earliest = np.full(count, n, np.int64)
    np.minimum.at(earliest, groups, place)
    position = earliest[groups]
    first_test = n - round(n * test)
    first_calibrate = first_test - round(n * calibrate)
    in_train = position < first_calibrate
    in_test = position >= first_test
    size = np.bincount(groups, minlength=count)

    def start(at: int) -> str | None:
        return str(stamps[order[at]]) if by_time and at < n else None

    return Split(
        train=np.flatnonzero(in_train),
        calibrate=np.flatnonzero(~in_train & ~in_test),
        test=np.flatnonzero(in_test),
        by_time=by_time,
        groups=count,
        repeated=int(size[size > 1].sum()),
        calibrate_from=start(first_calibrate),
        test_from=start(first_test),
    )
