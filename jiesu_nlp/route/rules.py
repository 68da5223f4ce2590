"""Routing rules: ordered, declarative, first match wins.

A rule says *when* (leaf, place kind, owner, actor, request type, district, town, month, words)
and *then* (class of unit or one unit, co-units, copies, deadline). The leaf's own direction is the
last rule of all, so every case ends somewhere. Rules are read from ``taxonomy/rules/*.yaml`` in
file-name order, and indexed by leaf so that a ticket tries only those that could match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jiesu_nlp.catalogue.model import Catalogue


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at: one demand with one candidate leaf."""

    leaf: str
    text: str = ""
    kind: str = "unknown"
    owners: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    request_type: str = ""
    district: str | None = None
    town: str | None = None
    month: int | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """All given parts must hold; within a part any value will do. Empty parts do not matter."""

    leaf: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    actor: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    district: tuple[str, ...] = ()
    town: tuple[str, ...] = ()
    month: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    not_words: tuple[str, ...] = ()

    def covers_leaf(self, code: str) -> bool:
        """Whether the leaf part admits a leaf code."""
        return not self.leaf or any(code == c or code.startswith(c + "-") for c in self.leaf)

    def failure(self, case: Case) -> str | None:
        """Name of the first part that does not hold, ``None`` if all do (leaf not looked at)."""
        if self.kind and case.kind not in self.kind:
            return "kind"
        if self.owner and case.owners.isdisjoint(self.owner):
            return "owner"
        if self.actor and case.actors.isdisjoint(self.actor):
            return "actor"
        if self.type and case.request_type not in self.type:
            return "type"
        if self.district and case.district not in self.district:
            return "district"
        if self.town and case.town not in self.town:
            return "town"
        if self.month and case.month not in self.month:
            return "month"
        if self.words and not any(w in case.text for w in self.words):
            return "words"
        if self.not_words and any(w in case.text for w in self.not_words):
            return "not_words"
        return None


@dataclass(frozen=True, slots=True)
class Rule:
    """One routing rule. ``unit`` is a class of unit, ``unit_code`` one registered unit."""

    id: str
    when: Condition
    reason: str
    unit: str = ""
    unit_code: str = ""
    co_units: tuple[str, ...] | None = None
    limit: str = ""
    basis: str = ""
    valid_from: str = ""
    valid_to: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A rule that was tried and why it lost (``failed`` is a part of its condition or ``None``)."""

    rule: Rule
    failed: str | None


DEFAULT_RULE_PREFIX = "D-"


class RuleSet:
    """Rules compiled against a catalogue.

    Parameters
    ----------
    rules
        In order of precedence.
    catalogue
        Supplies the last rule of every leaf: its own direction, ``D-<code>``.
    """

    def __init__(self, rules: Sequence[Rule], catalogue: Catalogue) -> None:
        self.rules = tuple(rules)
        self.by_id: dict[str, Rule] = {r.id: r for r in self.rules}
        self._by_leaf: dict[str, tuple[Rule, ...]] = {}
        for leaf in catalogue.leaves:
            default = Rule(
                id=DEFAULT_RULE_PREFIX + leaf.code,
                when=Condition(leaf=(leaf.code,)),
                unit=leaf.unit,
                co_units=leaf.co_units,
                limit=leaf.limit,
                basis=leaf.basis,
                reason=f"目录规定“{leaf.name}”的派单方向为{leaf.unit}",
            )
            self.by_id[default.id] = default
            self._by_leaf[leaf.code] = (
                *(r for r in self.rules if r.when.covers_leaf(leaf.code)),
                default,
            )

    def candidates(self, leaf: str) -> tuple[Rule, ...]:
        """Rules that may fire for a leaf, in order; the last always fires."""
        return self._by_leaf[leaf]

    def first(self, case: Case) -> Rule:
        """Return the rule that wins a case."""
        return next(r for r in self._by_leaf[case.leaf] if r.when.failure(case) is None)

    def matches(self, case: Case) -> list[Rule]:
        """All rules that hold for a case, in order: the first wins, the rest are alternatives."""
        return [r for r in self._by_leaf[case.leaf] if r.when.failure(case) is None]

    def trace(self, case: Case) -> list[Attempt]:
        """Every rule tried for a case with the reason it failed, for ``--explain``."""
        return [Attempt(r, r.when.failure(case)) for r in self._by_leaf[case.leaf]]

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain rows for a bundle (defaults are rebuilt from the catalogue)."""
        return [asdict(rule) for rule in self.rules]

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]], catalogue: Catalogue) -> RuleSet:
        """Rebuild from :meth:`to_json`."""
        rules = []
        for row in rows:
            values = dict(row)
            when = {k: tuple(v) for k, v in values.pop("when").items()}
            co_units = values.pop("co_units")
            rules.append(
                Rule(
                    when=Condition(**when),
                    co_units=None if co_units is None else tuple(co_units),
                    **values,
                )
            )
        return cls(rules, catalogue)
