"""Tickets whose label is probably wrong: confident learning (Northcutt et al. 2021).

A ticket is suspect if the model, which never saw it, is at least as sure of another leaf as it
usually is of tickets that bear that leaf's label. Suspects are ranked by the margin between that
leaf and the given one. Only the best twenty leaves of each ticket are kept: enough, since a leaf
beyond them is never confident.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jiesu_nlp.batch.workbook import check_filled_in, fitting, write_workbook
from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.catalogue.model import LEAF_CODE
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.text.redact import redact
from training.excerpt import excerpt
from training.labels import LabelBook
from training.scoring import Scored
from training.tickets import LabelledTicket, read_rows

KEEP, CHANGE, OTHER, DROP = "标签正确", "改为建议", "改为其他", "剔除"
VERDICTS = (KEEP, CHANGE, OTHER, DROP)
PLACE, TEXT, LABEL, BETTER = "所在行", "诉求（已脱敏）", "现标签", "建议标签"
VERDICT, RIGHT = "结论", "正确编码"
_COLUMNS = {
    PLACE: 20, TEXT: 70, LABEL: 12, "现细项": 24, BETTER: 12, "建议细项": 24,
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
        where, text = suspect.ticket.where, suspect.ticket.text
        margin = round(suspect.margin, 3)
        rows.append((where, _shown(text), a.code, a.name, b.code, b.name, margin, None, None))
    write_workbook(path, "疑似错标", _COLUMNS, rows, choices={VERDICT: VERDICTS})


def _shown(text: str) -> str:
    # A spreadsheet would write a carriage return back as _x000D_.
    return fitting(redact(text)).replace("\r", "")


def _is_shown_as(text: str, shown: str) -> bool:
    """Tell whether a text is the one that was shown, whatever people masked there besides."""
    own, other = ([ch for ch in t if ch.isalnum() or ch == "*"] for t in (_shown(text), shown))
    return len(own) == len(other) and all(
        a == b or "*" in (a, b) for a, b in zip(own, other, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person decided about one suspect.

    Attributes
    ----------
    place
        File and row of the ticket.
    text
        The redacted text as the workbook shows it.
    label, code
        The leaf it had and the right one, ``None`` to drop the ticket.
    line
        Row of the workbook.
    """

    place: str
    text: str
    label: str
    code: str | None
    line: int


@dataclass
class Corrected:
    """How many tickets were written, changed and dropped, and what could not be used.

    ``missing`` verdicts are of rows that the data has not; ``unusable`` rows are no tickets.
    """

    written: int = 0
    changed: int = 0
    dropped: int = 0
    missing: int = 0
    unusable: int = 0


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
    missing = [name for name in (PLACE, TEXT, LABEL, BETTER, VERDICT) if name not in header]
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
        found.append(Verdict(row[PLACE], row[TEXT], row[LABEL], code, number))
    if not found:
        raise UsageError(f"{path} 里没有填写结论")
    return found


def correct(
    data: Sequence[Path],
    labels: LabelBook,
    verdicts: Sequence[Verdict],
    write: Callable[[Mapping[str, Any]], None],
    *,
    columns: Mapping[str, str] | None = None,
) -> Corrected:
    """Write the rows of the tickets as they stand, but for the labels that people changed.

    A verdict goes for all tickets of the same text and label. The data is read twice.

    Raises
    ------
    DataError
        If a ticket is not where the workbook says, or two verdicts on it differ.
    """
    spelt: dict[str, str] = {}

    def tickets() -> Iterable[LabelledTicket]:
        for row in read_rows(data, labels, columns=columns):
            if isinstance(row.ticket, LabelledTicket):
                label = str(row.values[row.names["code"]]).strip()
                if label not in labels.catalogue.retired_by_code:
                    spelt.setdefault(row.ticket.code, label)
                yield row.ticket

    decided, missing = _settled(tickets(), verdicts)
    done = Corrected(missing=missing)
    for row in read_rows(data, labels, columns=columns):
        ticket = row.ticket
        if not isinstance(ticket, LabelledTicket):
            done.unusable += 1
            continue
        code = decided.get((ticket.text, ticket.code), ticket.code)
        if code is None:
            done.dropped += 1
            continue
        values = row.values
        if code != ticket.code:
            done.changed += 1
            title = row.names["code"]
            label = spelt.get(code) or _spelling(code, str(values[title]).strip(), labels)
            values = {**values, title: label}
        done.written += 1
        write(values)
    return done


def _settled(
    tickets: Iterable[LabelledTicket], verdicts: Sequence[Verdict]
) -> tuple[dict[tuple[str, str], str | None], int]:
    """Return the right leaf by text and label, and how many verdicts' rows the data has not."""
    at: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        at[verdict.place].append(verdict)
    by_key: dict[tuple[str, str], Verdict] = {}
    met: set[Verdict] = set()
    changed: set[Verdict] = set()
    for ticket in tickets:
        for verdict in at.get(ticket.where, ()):
            if verdict.label != ticket.code or not _is_shown_as(ticket.text, verdict.text):
                changed.add(verdict)
                continue
            met.add(verdict)
            other = by_key.setdefault((ticket.text, ticket.code), verdict)
            if other.code != verdict.code:
                raise DataError(
                    f"核对表第 {other.line} 行（{other.place}）与第 {verdict.line} 行"
                    f"（{verdict.place}）诉求和标签相同，结论不同",
                    remedy="改成同样的结论",
                )
    # Two files of one name: the ticket may stand in the other.
    for verdict in sorted(changed - met, key=lambda v: v.line)[:1]:
        raise DataError(
            f"核对表第 {verdict.line} 行的工单已不是 {verdict.place} 那一件：诉求或标签变了",
            remedy="用导出核对表时的原数据，或重新导出、核对",
        )
    return {key: v.code for key, v in by_key.items()}, len(verdicts) - len(met)


def _spelling(code: str, present: str, labels: LabelBook) -> str:
    """Write a leaf's code as the label is written that it takes the place of: code or path."""
    path = " › ".join(labels.catalogue.path(code))
    if LEAF_CODE.fullmatch(present) or labels.resolve(path).code != code:
        return code
    return path
