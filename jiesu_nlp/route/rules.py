"""Routing rules: ordered, declarative, first match wins.

A rule says *when* (leaf, place kind, owner, actor, request type, district, town, month, gate,
words) and *then* (class of unit or one unit, co-units, copies, deadline). The leaf's own direction
is the last rule of all, so every case ends somewhere. Rules are read from ``taxonomy/rules/*.yaml``
in file-name order, and indexed by leaf so that a ticket tries only those that could match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.route.dates import in_force
from jiesu_nlp.vocabulary import Tier


def under(code: str, ancestor: str) -> bool:
    """Whether a code is another one or stands below it in the catalogue."""
    return code == ancestor or code.startswith(ancestor + "-")


# In a longer text (characters) one mention in passing decides nothing: a word must stand in the
# opening, where people name the matter, or come again. By measurement: docs/experiments.md.
_SHORT_TEXT = 80
_OPENING = 40
_COUNTED = "\0"


def is_about(words: tuple[str, ...], text: str) -> bool:
    """Say whether a text is about any of the words rather than mentions them in passing.

    Mentions of different words add up; where they overlap (公路 in 高速公路) the longest counts.
    """
    if len(text) <= _SHORT_TEXT:
        return any(word in text for word in words)
    opening = text[:_OPENING]
    found = []
    for word in words:
        if word in text:
            if word in opening:
                return True
            found.append(word)
    if len(found) > 1:
        found.sort(key=len, reverse=True)
    mentions = 0
    for word in found:
        mentions += text.count(word)
        if mentions > 1:
            return True
        text = text.replace(word, _COUNTED)
    return False


@dataclass(slots=True)
class Case:
    """What the rules look at: one demand with one candidate leaf.

    Not frozen, though nothing changes it: one is made for every candidate leaf of every ticket, and
    a frozen one costs six times as much.
    """

    leaf: str
    text: str = ""
    kind: str = "unknown"
    owners: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    request_type: str = ""
    district: str | None = None
    town: str | None = None
    month: int | None = None
    gate: str = "none"

    def of_leaf(self, leaf: str) -> Case:
        """Return the same case with another leaf (``dataclasses.replace`` costs three times that)."""
        return Case(
            leaf,
            self.text,
            self.kind,
            self.owners,
            self.actors,
            self.request_type,
            self.district,
            self.town,
            self.month,
            self.gate,
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """All given parts must hold; within a part any value will do. Empty parts do not matter.

    Of ``not_leaf`` and ``not_words`` none may hold. The text must be about one of ``words`` (see
    :func:`is_about`) and, if given, of ``and_words`` too.
    """

    leaf: tuple[str, ...] = ()
    not_leaf: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    actor: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    district: tuple[str, ...] = ()
    town: tuple[str, ...] = ()
    month: tuple[int, ...] = ()
    gate: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    and_words: tuple[str, ...] = ()
    not_words: tuple[str, ...] = ()

    def covers_leaf(self, code: str) -> bool:
        """Whether the leaf part admits a leaf code."""
        if self.not_leaf and any(under(code, c) for c in self.not_leaf):
            return False
        return not self.leaf or any(under(code, c) for c in self.leaf)

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
        if self.gate and case.gate not in self.gate:
            return "gate"
        if self.words and not is_about(self.words, case.text):
            return "words"
        if self.and_words and not is_about(self.and_words, case.text):
            return "and_words"
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
_WEEK = Tier.SEVEN_DAYS.hours


@dataclass(frozen=True, slots=True)
class DeadlineRule:
    """A rule on the deadline: sets it, or bounds what the routing rule or the leaf says.

    ``at_least`` gives difficult matters more time; it never loosens what is urgent (2h, 24h).
    """

    id: str
    when: Condition
    basis: str
    limit: str = ""
    at_most: str = ""
    at_least: str = ""
    valid_from: str = ""
    valid_to: str = ""
    file: str = ""
    line: int = 0

    def apply(self, tier: str) -> str:
        """Return the tier that this rule makes of another."""
        if self.limit:
            return self.limit
        hours = Tier(tier).hours
        if self.at_most and Tier(self.at_most).hours < hours:
            return self.at_most
        if self.at_least and _WEEK <= hours < Tier(self.at_least).hours:
            return self.at_least
        return tier


class DeadlineBook:
    """All rules on deadlines in force; the first that holds and changes something wins."""

    def __init__(
        self, rules: Sequence[DeadlineRule], catalogue: Catalogue, on: str | None = None
    ) -> None:
        self.rules = tuple(rules)
        live = [r for r in self.rules if in_force(r.valid_from, r.valid_to, on)]
        self._by_leaf = _rules_by_leaf(live, catalogue)

    def winner(self, case: Case, tier: str) -> DeadlineRule | None:
        """Return the rule that sets the deadline of a case, ``None`` if the tier stays."""
        for rule in self._by_leaf[case.leaf]:
            if (rule.limit or rule.apply(tier) != tier) and rule.when.failure(case) is None:
                return rule
        return None


class RuleSet:
    """Rules compiled against a catalogue.

    Parameters
    ----------
    rules
        In order of precedence.
    catalogue
        Supplies the last rule of every leaf: its own direction, ``D-<code>``.
    deadlines
        Rules on the deadline, in order of precedence.
    on
        ISO date: rules not in force on it are kept but never fire. Today by default.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        catalogue: Catalogue,
        *,
        deadlines: Sequence[DeadlineRule] = (),
        on: str | None = None,
    ) -> None:
        self.rules = tuple(rules)
        self.deadlines = DeadlineBook(deadlines, catalogue, on)
        self.by_id: dict[str, Rule] = {r.id: r for r in self.rules}
        live = [r for r in self.rules if in_force(r.valid_from, r.valid_to, on)]
        specific = _rules_by_leaf(live, catalogue)
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
            self._by_leaf[leaf.code] = (*specific[leaf.code], default)

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

    def to_json(self) -> dict[str, Any]:
        """Return plain rows for a bundle (defaults are rebuilt from the catalogue)."""
        return {
            "rules": [asdict(rule) for rule in self.rules],
            "deadlines": [asdict(rule) for rule in self.deadlines.rules],
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], catalogue: Catalogue, on: str | None = None
    ) -> RuleSet:
        """Rebuild from :meth:`to_json`; rules that expired since the bundle was built stay out."""
        rules = []
        for row in data["rules"]:
            values = dict(row)
            co_units = values.pop("co_units")
            rules.append(
                Rule(
                    when=condition_of(values.pop("when")),
                    co_units=None if co_units is None else tuple(co_units),
                    **values,
                )
            )
        deadlines = [
            DeadlineRule(**{**row, "when": condition_of(row["when"])}) for row in data["deadlines"]
        ]
        return cls(rules, catalogue, deadlines=deadlines, on=on)


def condition_of(parts: Mapping[str, Iterable[Any]]) -> Condition:
    """Rebuild a condition from plain lists."""
    return Condition(**{name: tuple(values) for name, values in parts.items()})


_AnyRule = TypeVar("_AnyRule", Rule, DeadlineRule)


def _rules_by_leaf(rules: Sequence[_AnyRule], catalogue: Catalogue) -> dict[str, list[_AnyRule]]:
    """Return for every leaf the rules that may fire for it, in order."""
    under_code: dict[str, list[str]] = {}
    for leaf in catalogue.leaves:
        for code in (leaf.class_code, leaf.group_code, leaf.code):
            under_code.setdefault(code, []).append(leaf.code)
    found: dict[str, list[_AnyRule]] = {leaf.code: [] for leaf in catalogue.leaves}
    for rule in rules:
        named = rule.when.leaf or tuple(c.code for c in catalogue.classes)
        reached = dict.fromkeys(leaf for code in named for leaf in under_code.get(code, ()))
        for code in reached:
            if not any(under(code, other) for other in rule.when.not_leaf):
                found[code].append(rule)
    return found
