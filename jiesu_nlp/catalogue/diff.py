"""What changed between two catalogues, in the terms of the people who maintain them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jiesu_nlp.catalogue.model import Catalogue, Leaf


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one leaf.

    ``kind`` is one of ``added retired moved renamed direction deadline definition says other``.
    """

    kind: str
    code: str
    name: str
    before: str = ""
    after: str = ""


LABELS = {
    "added": "新增",
    "retired": "退役",
    "moved": "调整归类",
    "renamed": "更名",
    "direction": "派单方向",
    "deadline": "办理时限",
    "definition": "定义",
    "says": "例句",
    "other": "其他字段",
}


def diff(old: Catalogue, new: Catalogue) -> list[Change]:
    """Return the changes from ``old`` to ``new``, by code.

    A leaf that disappears is *retired*; if its retired entry has exactly one successor of the same
    name it was *moved* to that code.
    """
    changes: list[Change] = []
    moved_to: set[str] = set()
    for leaf in old.leaves:
        if leaf.code in new.by_code:
            changes += _changes(leaf, new.by_code[leaf.code], old, new)
            continue
        successors = new.successors(leaf.code)
        if len(successors) == 1 and new.by_code[successors[0]].name == leaf.name:
            moved_to.add(successors[0])
            changes.append(Change("moved", leaf.code, leaf.name, leaf.code, successors[0]))
        else:
            after = "、".join(f"{s} {new.by_code[s].name}" for s in successors) or "（无后继）"
            changes.append(Change("retired", leaf.code, leaf.name, "", after))
    changes += [
        Change("added", leaf.code, leaf.name, "", " › ".join(new.path(leaf.code)[:2]))
        for leaf in new.leaves
        if leaf.code not in old.by_code and leaf.code not in moved_to
    ]
    return sorted(changes, key=lambda c: (c.code, c.kind))


def _changes(a: Leaf, b: Leaf, old: Catalogue, new: Catalogue) -> Iterator[Change]:
    if a.name != b.name:
        yield Change("renamed", a.code, b.name, a.name, b.name)
    path_a, path_b = old.path(a.code)[:2], new.path(b.code)[:2]
    if path_a != path_b:
        yield Change("moved", a.code, b.name, " › ".join(path_a), " › ".join(path_b))
    direction_a = "、".join((a.unit, *a.co_units))
    direction_b = "、".join((b.unit, *b.co_units))
    if direction_a != direction_b:
        yield Change("direction", a.code, b.name, direction_a, direction_b)
    if a.limit != b.limit:
        yield Change("deadline", a.code, b.name, a.limit, b.limit)
    if a.definition != b.definition or a.neighbours != b.neighbours:
        yield Change("definition", a.code, b.name, a.definition, b.definition)
    if a.says != b.says:
        gone, came = len(set(a.says) - set(b.says)), len(set(b.says) - set(a.says))
        yield Change("says", a.code, b.name, f"删 {gone} 句", f"增 {came} 句")
    if (a.types, a.basis, a.route) != (b.types, b.basis, b.route):
        yield Change("other", a.code, b.name)
