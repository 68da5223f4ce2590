"""Judge a catalogue: structure, references, and the quality of its ``says``.

Every check yields :class:`Finding` objects; ``error`` means that the catalogue must not be used,
``warning`` that a person should look.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from jiesu_nlp.catalogue.model import Catalogue, Leaf
from jiesu_nlp.vocabulary import UNIT_CLASS_SET, RequestType, Tier

LEAST_SAYS = 24
SHORTEST, LONGEST = 2, 200
NAME_SHARE = 0.30
OPENING_LENGTH, OPENING_SHARE = 6, 0.01
NEAR_DUPLICATE = 0.5
_GRAM = 3
_RAREST = 6
_COMMON = 60
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or doubtful.

    ``check`` names the check, ``code`` the leaf, group or class (empty: the whole catalogue).
    """

    severity: str
    check: str
    code: str
    message: str


def _error(check: str, code: str, message: str) -> Finding:
    return Finding("error", check, code, message)


def _warning(check: str, code: str, message: str) -> Finding:
    return Finding("warning", check, code, message)


def check_catalogue(catalogue: Catalogue) -> list[Finding]:
    """Run every check, structure first."""
    return [
        *check_counts(catalogue),
        *check_names(catalogue),
        *check_references(catalogue),
        *check_values(catalogue),
        *check_retired(catalogue),
        *check_says(catalogue),
        *check_openings(catalogue),
        *check_duplicates(catalogue),
    ]


def check_counts(catalogue: Catalogue) -> Iterator[Finding]:
    """Each class has as many leaves as its budget; every group has leaves."""
    found = Counter(leaf.class_code for leaf in catalogue.leaves)
    for c in catalogue.classes:
        if found[c.code] != c.budget:
            yield _error("数量", c.code, f"{c.name}应有 {c.budget} 项，实有 {found[c.code]} 项")
    used = {leaf.group_code for leaf in catalogue.leaves}
    for group in catalogue.groups:
        if group.code not in used:
            yield _error("数量", group.code, f"小类“{group.name}”没有细项")


def check_names(catalogue: Catalogue) -> Iterator[Finding]:
    """Names are unique."""
    first: dict[str, str] = {}
    for leaf in catalogue.leaves:
        other = first.setdefault(leaf.name, leaf.code)
        if other != leaf.code:
            yield _error("名称", leaf.code, f"名称“{leaf.name}”与 {other} 相同")


def check_references(catalogue: Catalogue) -> Iterator[Finding]:
    """Every ``not`` leads to an existing code other than the leaf itself."""
    for leaf in catalogue.leaves:
        for n in leaf.neighbours:
            if n.code == leaf.code:
                yield _error("相邻项", leaf.code, f"“{n.when}”指向自己")
            elif catalogue.name_of(n.code) is None:
                yield _error("相邻项", leaf.code, f"“{n.when}”指向不存在的编码 {n.code}")


def check_values(catalogue: Catalogue) -> Iterator[Finding]:
    """Directions, co-units, tiers and request types are of the closed vocabularies."""
    for leaf in catalogue.leaves:
        for unit in (leaf.unit, *leaf.co_units):
            if unit not in UNIT_CLASS_SET:
                yield _error("单位", leaf.code, f"不认识的单位类别“{unit}”")
        if leaf.unit in leaf.co_units:
            yield _error("单位", leaf.code, f"协办里又写了主办“{leaf.unit}”")
        if leaf.limit not in frozenset(Tier):
            yield _error("时限", leaf.code, f"不认识的时限“{leaf.limit}”")
        if not leaf.types:
            yield _error("类型", leaf.code, "没有诉求类型")
        for kind in leaf.types:
            if kind not in frozenset(RequestType):
                yield _error("类型", leaf.code, f"不认识的诉求类型“{kind}”")


def check_retired(catalogue: Catalogue) -> Iterator[Finding]:
    """Find retired codes in use again or without an active successor."""
    for retired in catalogue.retired:
        if retired.code in catalogue.by_code:
            yield _error("退役编码", retired.code, "退役编码又被使用")
        if not catalogue.successors(retired.code):
            yield _error("退役编码", retired.code, "没有现行的后继编码")


def check_says(catalogue: Catalogue) -> Iterator[Finding]:
    """Enough ``says`` of sensible and varied length that do not just repeat the leaf's name."""
    for leaf in catalogue.leaves:
        if len(leaf.says) < LEAST_SAYS:
            yield _error("例句", leaf.code, f"只有 {len(leaf.says)} 句，至少 {LEAST_SAYS} 句")
        for say in leaf.says:
            if not SHORTEST <= len(say) <= LONGEST:
                yield _error(
                    "例句", leaf.code, f"{len(say)} 字，应为 {SHORTEST}–{LONGEST} 字：{say[:20]}…"
                )
        if not leaf.says:
            continue
        named = sum(leaf.name in say for say in leaf.says) / len(leaf.says)
        if named > NAME_SHARE:
            yield _error("例句", leaf.code, f"{named:.0%} 的例句照抄名称，上限 {NAME_SHARE:.0%}")
        lengths = [len(say) for say in leaf.says]
        if max(lengths) < 2 * median(lengths):
            yield _warning(
                "例句",
                leaf.code,
                f"长短太齐：中位 {median(lengths):.0f} 字，最长 {max(lengths)} 字",
            )


def check_openings(catalogue: Catalogue) -> Iterator[Finding]:
    """No opening is so common that it marks a template."""
    openings = Counter(say[:OPENING_LENGTH] for leaf in catalogue.leaves for say in leaf.says)
    total = openings.total()
    for opening, count in openings.most_common():
        if count <= max(OPENING_SHARE * total, 1):
            break
        yield _error(
            "开头", "", f"“{opening}…”开头的例句占 {count / total:.1%}，上限 {OPENING_SHARE:.0%}"
        )


def _shingles(text: str) -> frozenset[str]:
    plain = _NOT_WORD.sub("", text)
    return frozenset(plain[i : i + _GRAM] for i in range(len(plain) - _GRAM + 1))


def near_duplicates(
    texts: list[str], threshold: float = NEAR_DUPLICATE
) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of texts whose sets of character 3-grams overlap (Jaccard ≥ ``threshold``).

    Candidates share one of the rarest 3-grams of either text: two texts alike share nearly all.
    """
    shingles = [_shingles(t) for t in texts]
    frequency = Counter(g for s in shingles for g in s)
    buckets: dict[str, list[int]] = defaultdict(list)
    seen: set[tuple[int, int]] = set()
    for i, own in enumerate(shingles):
        for gram in sorted(own, key=lambda g: (frequency[g], g))[:_RAREST]:
            if 1 < frequency[gram] <= _COMMON:
                for j in buckets[gram]:
                    if (j, i) not in seen:
                        seen.add((j, i))
                        alike = len(own & shingles[j]) / len(own | shingles[j])
                        if alike >= threshold:
                            yield j, i, alike
                buckets[gram].append(i)


def check_duplicates(catalogue: Catalogue) -> Iterator[Finding]:
    """No sentence stands twice; near-duplicates within a leaf or across leaves are doubtful."""
    owner: list[Leaf] = []
    texts: list[str] = []
    exact: dict[str, Leaf] = {}
    for leaf in catalogue.leaves:
        for say in leaf.says:
            other = exact.setdefault(_NOT_WORD.sub("", say), leaf)
            if other is not leaf or say in texts[-len(leaf.says) :]:
                yield _error("重复", leaf.code, f"与 {other.code} 相同：{say[:30]}")
                continue
            owner.append(leaf)
            texts.append(say)
    for a, b, alike in near_duplicates(texts):
        where = "同一细项" if owner[a] is owner[b] else owner[a].code
        yield _warning(
            "近似",
            owner[b].code,
            f"与{where}的例句近似（{alike:.0%}）：{texts[b][:24]}｜{texts[a][:24]}",
        )
