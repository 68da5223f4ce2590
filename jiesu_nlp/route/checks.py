"""Judge the routing rules as a whole: what can never fire, what contradicts, what dangles.

A rule can be well formed and still be wrong among the others. The known trap of ordered rules is
an early rule that looks only at the category and hides a later one that looks at the place.

How shadowing is decided
------------------------
Within a part of a condition any value will do, so a condition is the union of *atoms* with one
value per part. A rule is hidden for a leaf if every atom of it is covered by one of the earlier
rules of that leaf: then every text that could reach it has already been taken. Place kinds are a
closed list of which every case has exactly one, so an open ``kind`` is split into all of them;
other open parts can only be covered by parts that are open too. Words are compared as substrings:
高速公路 holds 公路, so “高速公路” is covered by a rule on “公路”. But words are not split into atoms:
their mentions add up (:func:`~jiesu_nlp.route.rules.is_about`), so a text may be about 公路 and 国道
together and about neither alone; one earlier rule must cover them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.gates import GATES_YAML, GateBook
from jiesu_nlp.locate.gazetteer import Gazetteer
from jiesu_nlp.route.dates import in_force, iso_date
from jiesu_nlp.route.rules import Condition, DeadlineRule, Rule, RuleSet, under
from jiesu_nlp.route.units import RULE_ONLY, WHOLE_CITY, UnitRegistry
from jiesu_nlp.vocabulary import PlaceKind

Severity = Literal["error", "warning", "note"]
_PLACE_PARTS = ("kind", "district", "town")
_SETS = ("kind", "owner", "actor", "type", "gate")
_WORDS = ("words", "and_words")
_SPLIT = (*_SETS, "district", "town", "month")
_ATOMIC = (*_SPLIT, *_WORDS)
# More atoms than this are compared as one whole: still sound, only less sharp.
_MOST_ATOMS = 4000
_FEW = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark on one rule (or unit), with where it stands and how to mend it."""

    severity: Severity
    check: str
    rule: str
    where: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.where} {self.rule}：{self.message}"
        return f"{text}。处理办法：{self.remedy}" if self.remedy else text


def _where(rule: Rule | DeadlineRule) -> str:
    return f"{rule.file} 第 {rule.line} 行" if rule.file else "目录"


def direction(rule: Rule) -> str:
    """Return what a rule orders: a unit code or a class of unit."""
    return rule.unit_code or rule.unit


def _some(names: Iterable[str]) -> str:
    known = list(names)
    rest = f" 等 {len(known)} 项" if len(known) > _FEW else ""
    return "、".join(known[:_FEW]) + rest


# --- what covers what ---------------------------------------------------------------------------

Atom = dict[str, tuple[str, ...]]


def _atoms(when: Condition) -> list[Atom]:
    """Split a condition into atoms (all words are common to all of them)."""
    parts: list[list[tuple[str, tuple[str, ...]]]] = [[(n, getattr(when, n))] for n in _WORDS]
    for name in _SPLIT:
        values = tuple(str(v) for v in getattr(when, name))
        if name == "kind" and not values:
            values = tuple(PlaceKind)
        parts.append([(name, (v,)) for v in values] if values else [(name, ())])
    count = 1
    for part in parts:
        count *= len(part)
    if count > _MOST_ATOMS:
        return [{name: tuple(str(v) for v in getattr(when, name)) for name in _ATOMIC}]
    return [dict(combination) for combination in product(*parts)]


def _covers(when: Condition, atom: Atom, not_words: tuple[str, ...]) -> bool:
    """Whether every case of an atom (without ``not_words``) fulfils a condition; leaf aside."""
    for name in _ATOMIC:
        ours = tuple(str(v) for v in getattr(when, name))
        if not ours:
            continue
        theirs = atom[name]
        if not theirs:
            return False
        if name in _WORDS:
            if not all(any(w in word for w in ours) for word in theirs):
                return False
        elif not set(theirs) <= set(ours):
            return False
    # What the condition excludes must be excluded by the other one too.
    return all(any(other in word for other in not_words) for word in when.not_words)


def hidden_by(rule: Rule, earlier: Iterable[Rule]) -> list[Rule]:
    """Return the earlier rules that together take every case of a rule, none if one may be left."""
    before = list(earlier)
    used: dict[str, Rule] = {}
    for atom in _atoms(rule.when):
        cover = next((r for r in before if _covers(r.when, atom, rule.when.not_words)), None)
        if cover is None:
            return []
        used[cover.id] = cover
    return list(used.values())


def _same(a: Condition, b: Condition) -> bool:
    return all(set(getattr(a, name)) == set(getattr(b, name)) for name in (*_ATOMIC, "not_words"))


def _looks_at_place(rule: Rule) -> bool:
    return any(getattr(rule.when, name) for name in _PLACE_PARTS)


# --- the checks ---------------------------------------------------------------------------------


def check_order(rules: RuleSet, catalogue: Catalogue) -> Iterator[Finding]:
    """Find rules that never fire, or not for some leaves, conflicts and idle rules."""
    hidden: dict[str, list[str]] = {}
    covers: dict[str, dict[str, Rule]] = {}
    leaves: dict[str, int] = {}
    idle: dict[str, int] = {}
    memo: dict[tuple[str, tuple[str, ...]], list[Rule]] = {}
    for leaf in catalogue.leaves:
        candidates = rules.candidates(leaf.code)
        own, default = candidates[:-1], candidates[-1]
        for i, rule in enumerate(own):
            leaves[rule.id] = leaves.get(rule.id, 0) + 1
            key = (rule.id, tuple(r.id for r in own[:i]))
            if key not in memo:
                memo[key] = hidden_by(rule, own[:i])
            if memo[key]:
                hidden.setdefault(rule.id, []).append(leaf.code)
                covers.setdefault(rule.id, {}).update({r.id: r for r in memo[key]})
            elif (
                i == len(own) - 1
                and rule.unit == default.unit
                and not rule.limit
                and rule.co_units is None
            ):
                idle[rule.id] = idle.get(rule.id, 0) + 1
    for rule in rules.rules:
        if rule.id in hidden:
            yield _hidden(rule, hidden[rule.id], leaves[rule.id], list(covers[rule.id].values()))
        if rule.id in idle and idle[rule.id] == leaves[rule.id]:
            yield Finding(
                "note",
                "idle",
                rule.id,
                _where(rule),
                f"与目录的派单方向“{rule.unit}”相同且其后没有别的规则，有无此条结果一样",
                "若只为写明理由可以保留，否则删去",
            )


def _hidden(rule: Rule, codes: list[str], total: int, covers: list[Rule]) -> Finding:
    names = _some(f"{r.id}（{_where(r)}）" for r in covers)
    whole = len(codes) == total
    other = [r for r in covers if direction(r) != direction(rule)]
    if whole and len(covers) == 1 and _same(covers[0].when, rule.when):
        check = "conflict" if other else "duplicate"
        message = (
            f"与 {names} 条件相同而方向不同（{direction(rule)} / {direction(covers[0])}）"
            if other
            else f"与 {names} 条件、方向都相同"
        )
        return Finding("error", check, rule.id, _where(rule), message, "删去其中一条")
    if _looks_at_place(rule) and any(not _looks_at_place(r) for r in other):
        check, why = "hides_place", "前面不看地点的规则遮住了看地点的规则，"
    else:
        check, why = ("unreachable" if whole else "shadowed"), ""
    message = f"{why}所有情形已被前面的 {names} 取走" + (
        "，永不生效" if whole else f"：在 {_some(codes)} 上永不生效（其余细项有效）"
    )
    severity: Severity = "error" if whole or check == "hides_place" else "warning"
    return Finding(
        severity, check, rule.id, _where(rule), message, "移到前面，或收窄前面规则的条件，或删去"
    )


def check_references(
    rules: RuleSet, catalogue: Catalogue, units: UnitRegistry, places: Gazetteer
) -> Iterator[Finding]:
    """Find codes, units, districts and towns that do not exist, and dates that are none."""
    known = {c.code for c in catalogue.classes} | {g.code for g in catalogue.groups}
    known |= set(catalogue.by_code)
    districts, towns = place_names(places)
    everything: list[Rule | DeadlineRule] = [*rules.rules, *rules.deadlines.rules]
    for rule in everything:

        def finding(
            check: str,
            message: str,
            remedy: str,
            severity: Severity = "error",
            rule: Rule | DeadlineRule = rule,
        ) -> Finding:
            return Finding(severity, check, rule.id, _where(rule), message, remedy)

        for code in (*rule.when.leaf, *rule.when.not_leaf):
            if code in catalogue.retired_by_code:
                heirs = _some(catalogue.successors(code)) or "无"
                yield finding("retired_leaf", f"细项 {code} 已退役", f"改写为后继细项：{heirs}")
            elif code not in known:
                yield finding("unknown_leaf", f"目录中没有 {code}", "核对编码，或删去")
        for code in rule.when.not_leaf:
            if rule.when.leaf and not any(under(code, c) for c in rule.when.leaf):
                yield finding(
                    "useless_not_leaf", f"not_leaf 的 {code} 不在 leaf 之内", "删去", "warning"
                )
        if isinstance(rule, Rule) and rule.unit_code:
            if rule.unit_code not in units.by_code:
                yield finding("unknown_unit", f"没有单位 {rule.unit_code}", "见 taxonomy/units/")
            else:
                unit = units.by_code[rule.unit_code]
                if not in_force(unit.valid_from, unit.valid_to):
                    yield finding("dead_unit", f"单位 {unit.name} 不在有效期内", "换成现行单位")
        for name in rule.when.district:
            if name not in districts:
                yield finding("unknown_district", f"没有“{name}”", "写全称，如 朝阳区")
        for name in rule.when.town:
            if name not in towns:
                yield finding("unknown_town", f"没有“{name}”", "写 towns.tsv 中的 name")
            elif rule.when.district and not any(
                (d, name) in towns[name] for d in rule.when.district
            ):
                yield finding("town_elsewhere", f"“{name}”不在所写的区内", "核对区与街道")
        for value in (rule.valid_from, rule.valid_to):
            if value and iso_date(value) is None:
                yield finding("bad_date", f"“{value}”不是日期", "写成 2026-01-31")
        if rule.valid_from and rule.valid_to and rule.valid_from > rule.valid_to:
            yield finding("bad_date", "终止日早于起始日", "核对两个日期")
        elif rule.valid_to and not in_force("", rule.valid_to):
            yield finding(
                "expired", f"已于 {rule.valid_to} 失效，不再执行", "确认后删去", "warning"
            )


def check_units(units: UnitRegistry, places: Gazetteer) -> Iterator[Finding]:
    """Find units in force whose area is no district or town."""
    districts, towns = place_names(places)
    pairs = {pair for found in towns.values() for pair in found}
    for unit in units.units:
        if not in_force(unit.valid_from, unit.valid_to):
            continue
        for area in unit.area:
            district, _, town = area.partition("/")
            if area == WHOLE_CITY or area.startswith(RULE_ONLY):
                continue
            if district not in districts or (town and (district, town) not in pairs):
                yield Finding(
                    "error",
                    "unknown_area",
                    unit.code,
                    "taxonomy/units",
                    f"{unit.name} 的管辖范围“{area}”不存在",
                    "写 区 或 区/街道，用 taxonomy/places 中的名称",
                )


def check_gates(gates: GateBook, catalogue: Catalogue) -> Iterator[Finding]:
    """Find codes of gates that are no active leaf: nothing would ever raise the gate by them."""
    owners = [(gate.id, gate.leaf) for gate in gates.gates]
    owners += [(f"advice（{advice.kind}）", advice.leaf) for advice in gates.advices]
    for owner, codes in owners:
        for code in codes:
            if code in catalogue.by_code:
                continue
            if code in catalogue.retired_by_code:
                heirs = _some(catalogue.successors(code)) or "无"
                check, message = "retired_leaf", f"细项 {code} 已退役，该类目不再报出此情形"
                remedy = f"改写为后继细项：{heirs}"
            else:
                check, message = "unknown_leaf", f"{code} 不是目录中的细项，不会报出此情形"
                remedy = "写细项编码，形如 09-02-003，或删去"
            yield Finding("error", check, owner, f"taxonomy/rules/{GATES_YAML}", message, remedy)


def place_names(places: Gazetteer) -> tuple[frozenset[str], dict[str, set[tuple[str, str]]]]:
    """Return all districts, and the (district, town) pairs by name of town."""
    towns: dict[str, set[tuple[str, str]]] = {}
    for district, town in town_pairs(places):
        towns.setdefault(town, set()).add((district, town))
    return frozenset(places.districts), towns


def town_pairs(places: Gazetteer) -> tuple[tuple[str, str], ...]:
    """Return every (district, town) that a place may resolve to."""
    return tuple((places.districts[t.district], t.name) for t in places.towns)


def check_rules(
    rules: RuleSet,
    catalogue: Catalogue,
    units: UnitRegistry,
    places: Gazetteer,
    gates: GateBook | None = None,
) -> list[Finding]:
    """Run every check; errors first, each kind in the order of the files."""
    found = [
        *check_references(rules, catalogue, units, places),
        *check_units(units, places),
        *(check_gates(gates, catalogue) if gates is not None else ()),
        *check_order(rules, catalogue),
    ]
    rank = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda f: rank[f.severity])
