"""Look a data file over before anyone trains on it: what is wrong, how often, and where.

One pass in bounded memory: of every usable row only twelve bytes stay (a hash of its text and its
leaf; three times that while repeats are looked for). Near-duplicates, which need all texts, are
looked for up to a stated number of rows.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from jiesu_nlp.text.near_duplicates import duplicate_groups
from jiesu_nlp.text.redact import find_personal_data, redact
from training.excerpt import excerpt
from training.labels import LabelBook
from training.raw_rows import data_files
from training.rows_file import rows_file
from training.run_record import among, text_hash, text_hashes
from training.tickets import COLUMNS, GOLD_COLUMNS, LabelledTicket, Rejected, read_tickets

_EXAMPLES = 3
_EXAMPLE_LENGTH = 60
NEAR_DUPLICATE_ROWS = 300_000
# Beyond so many rows personal data is looked for in every fiftieth only.
_ALL_PERSONAL = 100_000
_STRIDE = 50
_SHORT, _LONG = 6, 2000
_SNIFFED = 1 << 20
_RARE = 10
_PERSONAL = {
    "mobile": "手机号",
    "landline": "座机号",
    "identity_card": "身份证号",
    "bank_card": "银行卡号",
    "document": "其他证件号",
    "plate": "车牌",
    "email": "电子邮箱",
    "account": "微信、QQ 号",
    "name": "姓名",
    "surname": "姓氏",
}
Report = Callable[[int], None]


@dataclass
class Problem:
    """One kind of problem: how many rows have it, and a few of them (redacted)."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more row; keep the first few as examples."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)


@dataclass
class DataReport:
    """What :func:`check_data` found.

    ``rejected`` holds the rows that cannot be used, by reason; ``doubts`` what a person should
    look at though the rows can be used.
    """

    rows: int = 0
    usable: int = 0
    encodings: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, Problem] = field(default_factory=dict)
    doubts: dict[str, Problem] = field(default_factory=dict)
    personal: Counter[str] = field(default_factory=Counter)
    personal_checked: int = 0
    lengths: dict[str, int] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)
    classes: list[tuple[str, str, int]] = field(default_factory=list)
    leaves_with_tickets: int = 0
    leaves_rare: int = 0
    leaves: int = 0
    most_common: list[tuple[str, str, int]] = field(default_factory=list)
    first: str | None = None
    last: str | None = None
    undated: int = 0
    with_unit: int = 0
    near_duplicates_checked: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""

        def problems(found: Mapping[str, Problem]) -> dict[str, Any]:
            return {k: {"count": p.count, "examples": p.examples} for k, p in found.items()}

        return {
            **{k: v for k, v in vars(self).items() if k not in ("rejected", "doubts")},
            "rejected": problems(self.rejected),
            "doubts": problems(self.doubts),
        }


def check_data(
    paths: Sequence[Path],
    labels: LabelBook,
    *,
    columns: Mapping[str, str] | None = None,
    against: Sequence[Path] = (),
    rejected_to: Path | None = None,
    report: Report = lambda rows: None,
) -> DataReport:
    """Check labelled tickets.

    Parameters
    ----------
    against
        Other data (such as what a model was trained on) whose tickets must not occur here.
    rejected_to
        Where to write the unusable rows (JSONL): the columns we know, redacted, and the reason.
    report
        Called with the number of rows read.
    """
    found = DataReport(leaves=len(labels.catalogue))
    for path in paths:
        for file in data_files(path):
            found.encodings[file.name] = encoding_of(file)
    hashes, leaves = array("Q"), array("H" if len(labels.catalogue) < 1 << 16 else "I")
    texts: list[str] = []
    lengths: Counter[int] = Counter()
    per_leaf: Counter[int] = Counter()
    # A book of its own: the one of ``labels`` counts the retired codes of the data.
    other = _hashes_of(against, LabelBook(labels.catalogue), columns)
    said = text_hashes(say for leaf in labels.catalogue.leaves for say in leaf.says)
    shown = {*chain.from_iterable(COLUMNS.values()), *GOLD_COLUMNS, *(columns or {}).values()}
    with rows_file(rejected_to) if rejected_to else nullcontext(None) as write:
        for item in read_tickets(paths, labels, columns=columns):
            found.rows += 1
            if found.rows % 1000 == 0:
                report(found.rows)
            if isinstance(item, Rejected):
                example = f"{item.where}：{redact(item.detail)}"
                found.rejected.setdefault(item.reason, Problem()).add(example)
                if write is not None:
                    write(_redacted(item, shown))
                continue
            _look_at(item, found)
            hashes.append(text_hash(item.text))
            row = labels.catalogue.index[item.code]
            leaves.append(row)
            per_leaf[row] += 1
            lengths[min(len(item.text), 10_000)] += 1
            if len(texts) <= NEAR_DUPLICATE_ROWS:
                texts.append(item.text)
    report(found.rows)
    found.usable = len(hashes)
    found.retired = dict(labels.retired.most_common())
    own = np.frombuffer(hashes, np.uint64)
    _repeated(found, own, np.frombuffer(leaves, leaves.typecode), texts, labels)
    for name, known in (("与对照数据重复（泄漏）", other), ("与目录例句相同（泄漏）", said)):
        hits = np.flatnonzero(among(own, known))
        if len(hits):
            problem = Problem(len(hits))
            problem.examples = [_short(texts[i]) for i in hits[:_EXAMPLES] if i < len(texts)]
            found.doubts[name] = problem
    _distribution(found, labels, per_leaf, lengths)
    return found


def encoding_of(path: Path) -> str:
    """Name the encoding of a text file, judged by its first megabyte."""
    if path.suffix.lower() in (".xlsx", ".parquet", ".arrow"):
        return path.suffix[1:].lower()
    with path.open("rb") as stream:
        head = stream.read(_SNIFFED)
        whole = not stream.read(1)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    if not whole:
        head = head[: head.rfind(b"\n") + 1] or head
    for name, codec in (("UTF-8", "utf-8"), ("GB18030", "gb18030")):
        try:
            head.decode(codec)
        except UnicodeDecodeError:
            continue
        bom = "（带标记）" if head.startswith(b"\xef\xbb\xbf") else ""
        return name + bom
    return "混杂或无法识别"


def _look_at(ticket: LabelledTicket, found: DataReport) -> None:
    text = ticket.text
    if len(text) < _SHORT:
        found.doubts.setdefault(f"不足 {_SHORT} 字", Problem()).add(_at(ticket))
    if len(text) > _LONG:
        found.doubts.setdefault(f"超过 {_LONG} 字", Problem()).add(_at(ticket))
    if "\ufffd" in text:
        found.doubts.setdefault("含乱码（\ufffd）", Problem()).add(_at(ticket))
    if found.personal_checked < _ALL_PERSONAL or found.rows % _STRIDE == 0:
        found.personal_checked += 1
        items = find_personal_data(text)
        if items:
            found.personal.update({_PERSONAL.get(p.kind, p.kind) for p in items})
            # Show the place where it stands, not the beginning.
            start = max(items[0].span[0] - _EXAMPLE_LENGTH // 2, 0)
            example = f"{ticket.where}：{'…' * (start > 0)}{_short(text, start)}"
            found.doubts.setdefault("含个人信息", Problem()).add(example)
    if ticket.created_at is None:
        found.undated += 1
    else:
        found.first = min(found.first or ticket.created_at, ticket.created_at)
        found.last = max(found.last or ticket.created_at, ticket.created_at)
    found.with_unit += bool(ticket.units)


def _at(ticket: LabelledTicket) -> str:
    return f"{ticket.where}：{_short(ticket.text)}"


def _short(text: str, start: int = 0) -> str:
    return excerpt(text, _EXAMPLE_LENGTH, start=start)


def _hashes_of(
    paths: Sequence[Path], labels: LabelBook, columns: Mapping[str, str] | None
) -> np.ndarray[Any, np.dtype[np.uint64]]:
    tickets = read_tickets(paths, labels, columns=columns)
    return text_hashes(t.text for t in tickets if isinstance(t, LabelledTicket))


def _repeated(
    found: DataReport, hashes: Any, leaves: Any, texts: list[str], labels: LabelBook
) -> None:
    """Count exact repeats and conflicting labels, then near ones."""
    codes = labels.catalogue.codes

    def clash(first: int, second: int) -> str:
        return f"{codes[leaves[first]]} 与 {codes[leaves[second]]}：{_short(texts[second])}"

    def add(name: str, at: Any, order: Any, example: Callable[[int, int], str]) -> None:
        """Add the neighbours in ``order`` that ``at`` marks."""
        problem = Problem(int(at.sum()))
        for i in np.flatnonzero(at)[:_EXAMPLES]:
            first, second = sorted((int(order[i]), int(order[i + 1])))
            if second < len(texts):
                problem.examples.append(example(first, second))
        if problem.count:
            found.doubts[name] = problem

    order = np.argsort(hashes, kind="stable")
    same = ~_differ(hashes[order])
    add("诉求完全相同", same, order, lambda a, b: _short(texts[b]))
    add("诉求相同而编码不同", same & _differ(leaves[order]), order, clash)
    if len(texts) > NEAR_DUPLICATE_ROWS:
        found.near_duplicates_checked = False
        return
    groups = duplicate_groups(texts)
    order = np.argsort(groups, kind="stable")
    near = ~_differ(groups[order]) & _differ(hashes[order])
    add("诉求近似", near, order, lambda a, b: f"{_short(texts[a])} ｜ {_short(texts[b])}")
    add("诉求近似而编码不同", near & _differ(leaves[order]), order, clash)


def _differ(values: Any) -> Any:
    """Return which values differ from the one before, from the second on."""
    return values[1:] != values[:-1]


def _distribution(
    found: DataReport, labels: LabelBook, per_leaf: Counter[int], lengths: Counter[int]
) -> None:
    catalogue = labels.catalogue
    found.leaves_with_tickets = len(per_leaf)
    found.leaves_rare = sum(n < _RARE for n in per_leaf.values())
    by_class: Counter[str] = Counter()
    for row, n in per_leaf.items():
        by_class[catalogue.leaves[row].class_code] += n
    found.classes = [(c.code, c.name, by_class[c.code]) for c in catalogue.classes]
    found.most_common = [
        (catalogue.codes[row], catalogue.leaves[row].name, n) for row, n in per_leaf.most_common(10)
    ]
    total, so_far = lengths.total(), 0
    marks = {"最短": 0.0, "中位": 0.5, "九成": 0.9, "最长": 1.0}
    for length in sorted(lengths):
        so_far += lengths[length]
        for name, share in marks.items():
            if name not in found.lengths and so_far >= share * total:
                found.lengths[name] = length


def _redacted(item: Rejected, shown: Collection[str]) -> dict[str, Any]:
    """Return a row without personal data: a bare name in a column of its own cannot be told."""
    row = {name: _masked(value) for name, value in item.row.items() if name in shown}
    return {"where": item.where, "reason": item.reason, "detail": redact(item.detail), "row": row}


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {redact(str(k)): _masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(v) for v in value]
    plain = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    masked = redact(plain)
    return value if masked == str(value) else masked
