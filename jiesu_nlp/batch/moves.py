"""What changed: old labels against new ones, counted from the ledger that the shards leave."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jiesu_nlp.batch.labels import BASES, REASONS
from jiesu_nlp.batch.manifest import Manifest
from jiesu_nlp.batch.sink import ledger
from jiesu_nlp.batch.verdicts import ROW, SOURCE, VERDICT, read_saved
from jiesu_nlp.batch.workbook import write_workbook
from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.errors import UsageError

_EXAMPLES = 3
_ORDER = ("split", "unknown", "outside", "unsure")


@dataclass
class Moves:
    """The counts of a run.

    Attributes
    ----------
    pairs
        Rows by (old code, or what became of it; new code), only where the old label is known.
    bases
        Rows by who decided; ``person`` for verdicts.
    reasons
        Rows that need a person, by reason.
    people
        So many rows need a person (each counted once).
    examples
        A few redacted texts per move.
    """

    rows: int = 0
    unknown: int = 0
    people: int = 0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    bases: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unknown_labels: Counter[str] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def known(self) -> int:
        """Rows whose old label the catalogue knows."""
        return self.rows - self.unknown

    @property
    def agreed(self) -> int:
        """Rows whose new label is the old one, or what became of it."""
        return sum(n for (old, new), n in self.pairs.items() if old == new)

    def moved(self) -> list[tuple[str, str, int]]:
        """Return the moves, most frequent first."""
        found = [(old, new, n) for (old, new), n in self.pairs.items() if old != new]
        return sorted(found, key=lambda m: (-m[2], m[0], m[1]))


@dataclass(frozen=True, slots=True)
class ClassMoves:
    """A level-1 class: rows before, moved to another leaf, moved out of the class, rows after."""

    code: str
    name: str
    before: int
    moved: int
    left: int
    after: int


def count_moves(output: Path) -> Moves:
    """Count the moves of a finished run, verdicts included.

    Raises
    ------
    UsageError
        If the run had no old labels.
    """
    manifest = _manifest(output)
    moves = Moves()
    names = ["source", "row", "raw", "old", "mapped", "new", "basis", "reasons", "text"]
    for key, table in ledger(manifest, names):
        verdicts = read_saved(output, key)
        for source, row, raw, old, mapped, new, basis, reasons, text in zip(
            *(table.column(n).to_pylist() for n in names), strict=True
        ):
            if (source, row) in verdicts:
                new, basis, reasons = verdicts[source, row], "person", ()  # noqa: PLW2901
            moves.rows += 1
            moves.bases[basis] += 1
            moves.reasons.update(reasons)
            moves.people += bool(reasons)
            if old is None:
                moves.unknown += 1
                moves.unknown_labels[raw or "（空）"] += 1
                continue
            was = mapped or old
            moves.pairs[was, new] += 1
            if was != new and len(shown := moves.examples[was, new]) < _EXAMPLES:
                shown.append(text)
    return moves


def by_class(moves: Moves, catalogue: Catalogue) -> list[ClassMoves]:
    """Return the moves of every level-1 class that occurs."""
    before: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    left: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for (old, new), n in moves.pairs.items():
        before[old[:2]] += n
        after[new[:2]] += n
        moved[old[:2]] += n if old != new else 0
        left[old[:2]] += n if old[:2] != new[:2] else 0
    return [
        ClassMoves(c, catalogue.name_of(c) or c, before[c], moved[c], left[c], after[c])
        for c in sorted(before | after)
    ]


def name_of(catalogue: Catalogue, code: str | None) -> str:
    """Return how a person reads a code, active or retired."""
    if not code:
        return ""
    if code in catalogue.by_code:
        return f"{code} {catalogue.by_code[code].name}"
    retired = catalogue.retired_by_code.get(code)
    return f"{code} {retired.name}（已退役）" if retired else code


def _manifest(output: Path) -> Manifest:
    manifest = Manifest(output)
    if manifest.header is None:
        raise UsageError(f"不是重标的输出文件夹：{output}")
    if manifest.header["task"]["old_label"] is None:
        raise UsageError("这次重标没有指定原标签列（--old-label），无从比较")
    return manifest


def review_rows(output: Path, limit: int) -> list[dict[str, Any]]:
    """Return the rows that need a person, most needed first, at most ``limit``."""
    manifest = _manifest(output)

    def open_rows() -> Iterator[tuple[tuple[int, float, str, int], dict[str, Any]]]:
        for key, table in ledger(manifest):
            verdicts = read_saved(output, key)
            for i, reasons in enumerate(table.column("reasons").to_pylist()):
                if not reasons:
                    continue
                row = table.slice(i, 1).to_pylist()[0]
                if (row["source"], row["row"]) not in verdicts:
                    rank = min(_ORDER.index(r) for r in reasons)
                    yield (rank, row["confidence"], row["source"], row["row"]), row

    return [row for _, row in heapq.nsmallest(limit, open_rows(), key=lambda r: r[0])]


def write_review(path: Path, rows: Sequence[dict[str, Any]], catalogue: Catalogue) -> None:
    """Write the rows that need a person as a workbook with an empty column for the verdict."""
    columns = {
        SOURCE: 18, ROW: 8, "诉求内容（已脱敏）": 60, "原标签": 28, "建议": 28, "把握": 8,
        "其他候选": 40, "为何要看": 24, VERDICT: 14, "备注": 20,
    }  # fmt: skip
    write_workbook(path, "复核", columns, (_review_row(row, catalogue) for row in rows))


def _review_row(row: dict[str, Any], catalogue: Catalogue) -> tuple[str | float | None, ...]:
    old = name_of(catalogue, row["old"]) or row["raw"]
    others = [name_of(catalogue, c) for c in row["candidates"] if c != row["new"]][:4]
    reasons = "、".join(REASONS[r] for r in row["reasons"])
    return (
        row["source"], row["row"], row["text"], old, name_of(catalogue, row["new"]),
        row["confidence"], "；".join(others), reasons, None, None,
    )  # fmt: skip


def basis_label(basis: str) -> str:
    """Return the Chinese label of who decided."""
    return BASES.get(basis, "人工核定")
