"""Which leaves a classifier cannot tell apart, for the people who draw the catalogue."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from jiesu_nlp.catalogue import Catalogue
from training.cross_validation import held_out_folds
from training.low_rank import Recipe

_EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Two leaves and how often held-out ``says`` of one were filed under the other.

    Attributes
    ----------
    share
        Share of the two leaves' ``says`` filed under the other, 0 to 1.
    harmless
        Direction and deadline are the same: the dispatch is right either way.
    separated
        One of the two names the other in its ``not``.
    examples
        ``(true code, text)`` of some of the errors.
    """

    first: str
    second: str
    share: float
    harmless: bool
    separated: bool
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ConfusabilityReport:
    """Held-out accuracy of the ``says`` and the confused pairs, worst first."""

    top1: float
    top5: float
    pairs: tuple[ConfusedPair, ...]
    weakest: tuple[tuple[str, float], ...]


def confusability(
    catalogue: Catalogue,
    *,
    least_share: float = 0.15,
    recipe: Recipe = Recipe(),
    report: Callable[[float], None] = lambda done: None,
) -> ConfusabilityReport:
    """Cross-validate the ``says`` and collect the pairs of leaves they are confused between."""
    wrong: Counter[tuple[int, int]] = Counter()
    examples: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    right: Counter[int] = Counter()
    total: Counter[int] = Counter()
    top5 = 0
    for fold in held_out_folds(catalogue, recipe=recipe, report=report):
        best = (-fold.probabilities).argsort(axis=1)[:, :5]
        guess = fold.probabilities.argmax(axis=1)
        top5 += int((best == fold.leaf_of[:, None]).any(axis=1).sum())
        for text, truth, got in zip(fold.texts, fold.leaf_of, guess, strict=True):
            t, g = int(truth), int(got)
            total[t] += 1
            if t == g:
                right[t] += 1
                continue
            pair = (min(t, g), max(t, g))
            wrong[pair] += 1
            if len(examples[pair]) < _EXAMPLES:
                examples[pair].append((catalogue.codes[t], text))
    pairs = []
    for (a, b), count in wrong.items():
        share = count / (total[a] + total[b])
        if share >= least_share:
            first, second = catalogue.leaves[a], catalogue.leaves[b]
            pairs.append(
                ConfusedPair(
                    first.code,
                    second.code,
                    share,
                    (first.unit, first.limit) == (second.unit, second.limit),
                    any(n.code == second.code for n in first.neighbours)
                    or any(n.code == first.code for n in second.neighbours),
                    tuple(examples[a, b]),
                )
            )
    n = total.total()
    weakest = sorted((right[row] / total[row], catalogue.codes[row]) for row in total)[:50]
    return ConfusabilityReport(
        top1=right.total() / n,
        top5=top5 / n,
        pairs=tuple(sorted(pairs, key=lambda p: (-p.share, p.first))),
        weakest=tuple((code, accuracy) for accuracy, code in weakest),
    )


def to_markdown(report: ConfusabilityReport, catalogue: Catalogue) -> str:
    """Lay the report out for reading (Chinese Markdown)."""
    lines = [
        "# 易混细项报告",
        "",
        f"目录版本 {catalogue.version}，细项 {len(catalogue)}。"
        f"四折交叉验证：例句首位正确 {report.top1:.1%}，前五含正确 {report.top5:.1%}。",
        "",
        "“无碍”指两项派单方向与时限相同，混淆不影响派单；“有别”指某一项的“不属于”已写明另一项。",
        "",
        "| 细项甲 | 细项乙 | 互混率 | 无碍 | 有别 | 例 |",
        "|---|---|---|---|---|---|",
    ]
    for p in report.pairs:
        shown = "；".join(f"{code}：{text[:30]}" for code, text in p.examples)
        lines.append(
            f"| {p.first} {catalogue.by_code[p.first].name} "
            f"| {p.second} {catalogue.by_code[p.second].name} "
            f"| {p.share:.0%} | {'是' if p.harmless else '否'} | {'是' if p.separated else '否'} "
            f"| {shown} |"
        )
    lines += ["", "## 例句最难认的细项", "", "| 细项 | 交叉验证正确率 |", "|---|---|"]
    lines += [
        f"| {code} {catalogue.by_code[code].name} | {accuracy:.0%} |"
        for code, accuracy in report.weakest
    ]
    return "\n".join(lines) + "\n"
