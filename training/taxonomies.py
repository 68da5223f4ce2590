"""Which taxonomy to train for: ours, another folder, an official table, or the data's own labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jiesu_nlp.catalogue import Catalogue, read_catalogue
from jiesu_nlp.catalogue.exchange import import_catalogue
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.gates import GateBook
from jiesu_nlp.knowledge import Knowledge, read_knowledge
from jiesu_nlp.route.rules import RuleSet
from training.labels import LabelBook, Resolved, catalogue_of_labels
from training.tickets import Rejected, read_tickets

LABELS_ONLY = "labels-only"
_SHOWN = 5
_MOST_LABELS = 50_000


def knowledge_for(
    taxonomy: str | None,
    home: Path,
    data: Sequence[Path],
    *,
    columns: Mapping[str, str] | None = None,
) -> Knowledge:
    """Return the knowledge to train with.

    Parameters
    ----------
    taxonomy
        ``None`` for ``home``; a folder like ``taxonomy/``; a folder of catalogue files; a table
        (``.xlsx``, ``.csv``, ``.jsonl``) as ``jiesu catalogue import`` takes it; or
        ``labels-only``: the tree is taken from the labels of ``data``.
    home
        Our own ``taxonomy/``; units and places come from it where ``taxonomy`` has none.

    Raises
    ------
    UsageError, DataError
        If the taxonomy cannot be read.
    """
    if taxonomy is None:
        return read_knowledge(home)
    if taxonomy != LABELS_ONLY and (Path(taxonomy) / "catalogue").is_dir():
        return read_knowledge(Path(taxonomy))
    return _foreign(catalogue_for(taxonomy, home, data, columns=columns), home)


def catalogue_for(
    taxonomy: str | None,
    home: Path,
    data: Sequence[Path],
    *,
    columns: Mapping[str, str] | None = None,
) -> Catalogue:
    """Return the catalogue of :func:`knowledge_for` alone, without reading units and places."""
    if taxonomy == LABELS_ONLY:
        return labels_of_data(data, columns)
    path = home if taxonomy is None else Path(taxonomy)
    if path.is_dir():
        return read_catalogue(path / "catalogue" if (path / "catalogue").is_dir() else path)
    if not path.is_file():
        raise UsageError(
            f"没有这个目录：{path}；--taxonomy 可为文件夹、目录表（.xlsx、.csv、.jsonl）或 {LABELS_ONLY}"
        )
    empty = Catalogue(version="", title=path.stem, classes=(), groups=(), leaves=())
    catalogue, problems = import_catalogue(path, base=empty, version=path.stem)
    if catalogue is None:
        shown = "；".join(str(p) for p in problems[:_SHOWN])
        raise DataError(
            f"目录表有 {len(problems)} 个问题：{shown}",
            path=path,
            remedy="改正后再训练；用 jiesu catalogue import --dry-run 查看全部",
        )
    return catalogue


def _foreign(catalogue: Catalogue, home: Path) -> Knowledge:
    """Join another catalogue with our units, places and gates; our rules speak of our codes."""
    own = read_knowledge(home)
    gates = GateBook(tuple(replace(g, leaf=()) for g in own.gates.gates), own.gates.tags)
    return Knowledge(
        catalogue=catalogue,
        units=own.units,
        rules=RuleSet((), catalogue),
        gates=gates,
        places=own.places,
    )


class _AnyLabel(LabelBook):
    """Takes every label as it stands, so that labels are read as tickets will be."""

    def __init__(self) -> None:
        super().__init__(Catalogue(version="", title="", classes=(), groups=(), leaves=()))

    def resolve(self, label: str) -> Resolved:
        """Return the label itself."""
        return Resolved(label)


def labels_of_data(data: Sequence[Path], columns: Mapping[str, str] | None = None) -> Catalogue:
    """Make a catalogue of the labels in data; the unit most often given is a leaf's direction.

    Raises
    ------
    DataError
        If no row is usable, there are fewer than two labels, or too many to be labels.
    """
    labels: set[str] = set()
    units: dict[str, Counter[str]] = defaultdict(Counter)
    rejected: Counter[str] = Counter()
    for source in data:
        for item in read_tickets([source], _AnyLabel(), columns=columns):
            if isinstance(item, Rejected):
                rejected[item.reason] += 1
                continue
            labels.add(item.code)
            if len(labels) > _MOST_LABELS:
                raise DataError(
                    f"编码一栏有 {_MOST_LABELS} 种以上的值，不像类目",
                    path=source,
                    remedy="检查编码列是否选对（--column code=列名）",
                )
            for unit in item.units[:1]:
                units[item.code][unit] += 1
    if rejected and not labels:
        reasons = "，".join(f"{reason} {n} 行" for reason, n in rejected.most_common())
        raise DataError(
            f"没有一行能用：{reasons}",
            path="、".join(map(str, data)),
            remedy="改正这些行，或用 --column 字段=列名 指明各列",
        )
    directions = {label: found.most_common(1)[0][0] for label, found in units.items()}
    return catalogue_of_labels(labels, directions, version="labels")
