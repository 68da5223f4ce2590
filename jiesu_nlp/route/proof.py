"""Proof of coverage: every leaf × every town × every kind of place ends in one unit, one deadline.

Why it is enough to look at so little
-------------------------------------
The cases are many (leaves × towns × kinds × all texts), but the answer depends on little of them:

1. For a leaf only its *candidates* can win: the rules whose ``leaf`` admits it, and last of all the
   leaf's own direction, which has no condition. The first that holds wins. So there is always
   exactly one winner, and it is among the candidates.
2. Text, owner, actor, request type, month and gate only decide *which* candidate wins. Checking
   **every** candidate that the kind and the place admit covers all of them at once: a superset of
   the possible winners, whatever the text says.
3. What a winner orders depends on its direction, the district and the town alone
   (:meth:`Router.resolve`), and on an enterprise that the text names; of those every one is checked
   to serve the whole city or the district it is found for.
4. The deadline is the tier of the winner, else of the leaf, changed by at most one deadline rule,
   whose result is a tier by construction of its fields; all of them are checked.

Hence (direction, district, town) is checked once for every direction that occurs, and every
(rule, district, town) looks its result up. Nothing is sampled.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.locate.gazetteer import Gazetteer
from jiesu_nlp.route.checks import town_pairs
from jiesu_nlp.route.router import Router
from jiesu_nlp.route.rules import Rule, RuleSet
from jiesu_nlp.route.units import DISTRICT_CLASS, RULE_ONLY, WHOLE_CITY, UnitRegistry
from jiesu_nlp.vocabulary import UNIT_CLASS_SET, PlaceKind, Tier

_COMMUNITY = ("社区", "社区居委会", "居民委员会", "居委会", "村委会", "村民委员会")
_TIERS = frozenset(Tier)
_MOST = 200


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proven, and every gap that was found.

    Attributes
    ----------
    cases
        Leaves × places × kinds that are covered.
    resolutions
        Distinct (direction, district, town) that had to be looked at.
    fallbacks
        Of these, how many go to the district government because no unit of the class serves there.
    gaps
        In Chinese: which rule ends where in no unit, in one that does not serve, or without a tier.
    """

    leaves: int
    places: int
    kinds: int
    cases: int
    rules: int
    resolutions: int
    fallbacks: int
    gaps: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether there is no gap."""
        return not self.gaps


def prove(rules: RuleSet, catalogue: Catalogue, units: UnitRegistry, places: Gazetteer) -> Proof:
    """Check every leaf × place × kind; see the module for why that is exhaustive.

    A place is a town of the gazetteer, or a district of which the town is not known.
    """
    started = time.perf_counter()
    router = Router(catalogue, rules, units)
    where: list[tuple[str, str | None]] = [*town_pairs(places)]
    where += [(district, None) for district in places.districts]
    gaps: list[str] = []
    known: dict[tuple[str, str, str | None], str | None] = {}
    fallbacks = 0
    cases = 0
    tried: set[str] = set()
    kinds = tuple(PlaceKind)
    for leaf in catalogue.leaves:
        candidates = rules.candidates(leaf.code)
        last = candidates[-1].when
        if last.leaf != (leaf.code,) or _conditional(candidates[-1]):
            gaps.append(f"{leaf.code} 没有无条件的最后一条规则")
        cases += len(where) * len(kinds)
        for rule in candidates:
            tier = rule.limit or leaf.limit
            if tier not in _TIERS:
                gaps.append(f"{rule.id} 对 {leaf.code} 没有办理时限（{tier or '空'}）")
            if rule.id in tried:
                continue
            tried.add(rule.id)
            for district, town in where:
                if rule.when.district and district not in rule.when.district:
                    continue
                if rule.when.town and town not in rule.when.town:
                    continue
                key = (rule.unit_code or rule.unit, district, town)
                if key not in known:
                    known[key], fell_back = _gap(router, rule, district, town)
                    fallbacks += fell_back
                gap = known[key]
                if gap is not None:
                    gaps.append(f"{rule.id} 在 {district}{town or ''}：{gap}")
    for deadline in rules.deadlines.rules:
        for tier in Tier:
            if deadline.apply(tier.value) not in _TIERS:
                gaps.append(f"时限规则 {deadline.id} 得不出时限")
    gaps += _firm_gaps(units, places)
    return Proof(
        leaves=len(catalogue),
        places=len(where),
        kinds=len(kinds),
        cases=cases,
        rules=len(tried),
        resolutions=len(known),
        fallbacks=fallbacks,
        gaps=tuple(gaps[:_MOST]),
        seconds=time.perf_counter() - started,
    )


def _conditional(rule: Rule) -> bool:
    when = rule.when
    return any(getattr(when, name) for name in when.__dataclass_fields__ if name != "leaf")


def _gap(router: Router, rule: Rule, district: str, town: str | None) -> tuple[str | None, bool]:
    """Return what is wrong with the unit of a direction in a place, and whether it fell back."""
    if rule.unit_code and rule.unit_code not in router.units.by_code:
        return f"单位 {rule.unit_code} 不存在", False
    lead = router.resolve(rule, district, town)
    unit = router.units.by_code.get(lead.code or "")
    if unit is None:
        return f"没有承办单位（{lead.name}）", False
    fell_back = not rule.unit_code and unit.unit_class != rule.unit
    serves = (
        WHOLE_CITY in unit.area
        or district in unit.area
        or f"{district}/{town}" in unit.area
        or (bool(rule.unit_code) and all(a.startswith(RULE_ONLY) for a in unit.area))
    )
    if not serves:
        return f"{unit.name} 不管辖该地", fell_back
    if fell_back and unit.unit_class != DISTRICT_CLASS:
        return f"{unit.name} 不是 {rule.unit}", fell_back
    if unit.unit_class not in UNIT_CLASS_SET or unit.name.endswith(_COMMUNITY):
        return f"{unit.name} 不能作为承办单位", fell_back
    return None, fell_back


def _firm_gaps(units: UnitRegistry, places: Gazetteer) -> list[str]:
    """Check that a firm that a text may name serves the city or districts that exist."""
    districts = frozenset(places.districts)
    return [
        f"企业 {unit.name} 的服务范围“{area}”不存在"
        for unit in units.units
        if unit.level == "enterprise"
        for area in unit.area
        if area != WHOLE_CITY and not area.startswith(RULE_ONLY) and area not in districts
    ]
