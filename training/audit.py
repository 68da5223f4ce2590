"""Tickets whose label is probably wrong: confident learning (Northcutt et al. 2021).

A ticket is suspect if the model, which never saw it, is at least as sure of another leaf as it
usually is of tickets that bear that leaf's label. Suspects are ranked by the margin between that
leaf and the given one. Only the best twenty leaves of each ticket are kept: enough, since a leaf
beyond them is never confident.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from jiesu_nlp.batch.workbook import check_filled_in, write_workbook
from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.text.redact import redact
from training.excerpt import excerpt
from training.scoring import Scored
from training.tickets import LabelledTicket

KEEP, CHANGE, OTHER, DROP = "标签正确", "改为建议", "改为其他", "剔除"
VERDICTS = (KEEP, CHANGE, OTHER, DROP)
MARK, LABEL, BETTER, VERDICT, RIGHT = "指纹", "现标签", "建议标签", "结论", "正确编码"
_COLUMNS = {
    MARK: 14, "诉求（已脱敏）": 70, LABEL: 12, "现细项": 24, BETTER: 12, "建议细项": 24,
    "疑似程度": 10, VERDICT: 12, RIGHT: 12,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suspect:
    """A ticket whose label is probably wrong.

    ``margin`` is the probability of the leaf the model prefers less that of the label, -1 to 1.
    ``confident`` tells that the preferred leaf reached its own usual confidence.
    """

    ticket: LabelledTicket
    label: int
    better: int
    margin: float
    confident: bool

    def to_json(self, catalogue: Catalogue) -> dict[str, Any]:
        """Return plain values with the redacted text."""
        a, b = catalogue.leaves[self.label], catalogue.leaves[self.better]
        return {
            "label": a.code,
            "label_name": a.name,
            "better": b.code,
            "better_name": b.name,
            "margin": round(self.margin, 4),
            "text": excerpt(self.ticket.text, 120),
            "where": self.ticket.where,
        }


def fingerprint(text: str) -> str:
    """Return a short stable mark of a text, to find the ticket again without showing it."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def suspects(scored: Scored) -> list[Suspect]:
    """Rank the tickets whose label is probably wrong, most probable first."""
    n = len(scored)
    if not n:
        return []
    leaves = int(max(scored.top.max(), scored.truth.max())) + 1
    count = np.bincount(scored.truth, minlength=leaves)
    total = np.bincount(scored.truth, weights=scored.p_label, minlength=leaves)
    # Leaves with few tickets borrow the overall mean: one ticket is no usual confidence.
    prior = float(scored.p_label.mean())
    usual = (total + 2 * prior) / (count + 2)
    found = []
    for i in range(n):
        ticket = scored.tickets[i]
        if scored.rank[i] == 1:
            continue
        better = int(scored.top[i, 0])
        p = float(scored.top_p[i, 0])
        confident = p >= usual[better]
        margin = p - float(scored.p_label[i])
        if margin > 0:
            found.append(Suspect(ticket, int(scored.truth[i]), better, margin, bool(confident)))
    return sorted(found, key=lambda s: (not s.confident, -s.margin, s.ticket.where))


def export_suspects(found: Sequence[Suspect], catalogue: Catalogue, path: Path) -> None:
    """Write the suspects as a workbook in which people enter their verdicts."""
    rows = []
    for suspect in found:
        a, b = catalogue.leaves[suspect.label], catalogue.leaves[suspect.better]
        text = suspect.ticket.text
        margin = round(suspect.margin, 3)
        rows.append(
            (fingerprint(text), redact(text), a.code, a.name, b.code, b.name, margin, None, None)
        )
    write_workbook(path, "疑似错标", _COLUMNS, rows, choices={VERDICT: VERDICTS})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person decided about one suspect; ``code`` is the right leaf, ``None`` to drop."""

    fingerprint: str
    label: str
    code: str | None


def read_verdicts(path: Path, catalogue: Catalogue) -> list[Verdict]:
    """Read the workbook back; rows without a verdict are left out.

    Raises
    ------
    UsageError
        If the file is no .xlsx, or holds no verdict.
    DataError
        Naming the row whose verdict cannot be understood.
    """
    check_filled_in(path)
    rows = xlsx_rows(path)
    header = [c.strip() for c in next(rows, [])]
    missing = [name for name in (MARK, LABEL, BETTER, VERDICT) if name not in header]
    if missing:
        raise DataError(
            f"缺少列：{'、'.join(missing)}", path=path, remedy="用 jiesu audit 导出的表填写"
        )
    found = []
    for number, cells in enumerate(rows, start=2):
        row = dict.fromkeys((*header, RIGHT), "")
        row |= zip(header, (c.strip() for c in cells), strict=False)
        verdict = row[VERDICT]
        if not verdict:
            continue
        if verdict not in VERDICTS:
            raise DataError(
                f"不认识的结论“{verdict}”",
                path=path,
                line=number,
                field=VERDICT,
                remedy=f"填 {'、'.join(VERDICTS)} 之一",
            )
        code = {KEEP: row[LABEL], CHANGE: row[BETTER], OTHER: row[RIGHT], DROP: None}[verdict]
        if code is not None and code not in catalogue.by_code:
            raise DataError(
                f"目录里没有编码“{code}”",
                path=path,
                line=number,
                field=RIGHT,
                remedy="填现行细项编码",
            )
        found.append(Verdict(row[MARK], row[LABEL], code))
    if not found:
        raise UsageError(f"{path} 里没有填写结论")
    return found


def apply_verdicts(
    tickets: Iterable[LabelledTicket], verdicts: Sequence[Verdict]
) -> Iterator[tuple[LabelledTicket | None, Verdict | None]]:
    """Yield every ticket as it stands after the verdicts (``None`` if dropped), and its verdict."""
    by_key = {(v.fingerprint, v.label): v for v in verdicts}
    for ticket in tickets:
        verdict = by_key.get((fingerprint(ticket.text), ticket.code))
        if verdict is None or verdict.code == ticket.code:
            yield ticket, verdict
        elif verdict.code is None:
            yield None, verdict
        else:
            yield replace(ticket, codes=(verdict.code,)), verdict
