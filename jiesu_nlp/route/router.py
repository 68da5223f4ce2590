"""From a leaf and a place to units and a deadline: rules first, then the unit registry.

条例 Art. 12: a certain unit gets the order directly, a street order is copied to its district;
district known but unit uncertain → the district government; neither → the operator is asked.
A community is never a unit (Art. 17): the registry holds none.
"""

from __future__ import annotations

from dataclasses import dataclass

from jiesu_nlp.catalogue.model import Catalogue, Leaf
from jiesu_nlp.route.rules import Case, Rule, RuleSet
from jiesu_nlp.route.units import DISTRICT_CLASS, TOWN_CLASS, RegisteredUnit, UnitRegistry
from jiesu_nlp.suggestion import Deadline, Unit
from jiesu_nlp.vocabulary import RequestType, Tier

FALLBACK_RULE = "F-12-1-2"
# In the reason where several firms serve the place and the text names none.
UNNAMED_FIRM = "文中未写明具体企业，派前请核实"
MAX_ALTERNATIVES = 3


# Not frozen: each ticket makes one, and frozen it would cost six times as much.
@dataclass(slots=True)
class Routing:
    """Where one demand goes if its leaf is the given one."""

    lead: Unit
    co_units: tuple[Unit, ...]
    cc: tuple[Unit, ...]
    alternatives: tuple[Unit, ...]
    deadline: Deadline
    rule: Rule


class Router:
    """Applies the rules and resolves classes of unit to registered units."""

    def __init__(self, catalogue: Catalogue, rules: RuleSet, units: UnitRegistry) -> None:
        self.catalogue = catalogue
        self.rules = rules
        self.units = units
        self._resolved: dict[tuple[str, str | None, str | None, str | None, bool], Unit] = {}

    def route(self, case: Case) -> Routing:
        """Route one case: the demand as the rules see it, with one candidate leaf."""
        matches = self.rules.matches(case)
        rule = matches[0]
        lead = self._lead(rule, case)
        alternatives: list[Unit] = []
        for other in matches[1:]:
            unit = self._lead(other, case)
            if unit.name != lead.name and all(unit.name != a.name for a in alternatives):
                alternatives.append(unit)
            if len(alternatives) == MAX_ALTERNATIVES:
                break
        return Routing(
            lead=lead,
            co_units=self._co_units(rule, matches[-1], case, lead),
            cc=self._cc(lead, case),
            alternatives=tuple(alternatives),
            deadline=self._deadline(rule, self.catalogue.by_code[case.leaf], case),
            rule=rule,
        )

    def lead(self, case: Case) -> Unit:
        """Return only the lead unit of a case."""
        return self._lead(self.rules.first(case), case)

    def _lead(self, rule: Rule, case: Case) -> Unit:
        firm = None if rule.unit_code else self.units.named(rule.unit, case.text, case.district)
        # Policy questions without a place are for the municipal department.
        citywide = case.district is None and case.request_type == RequestType.ENQUIRY.value
        key = (rule.id, firm.code if firm else None, case.district, case.town, citywide)
        unit = self._resolved.get(key)
        if unit is None:
            unit = self._resolved[key] = self.resolve(
                rule, case.district, case.town, firm=firm, citywide=citywide
            )
        return unit

    def resolve(
        self,
        rule: Rule,
        district: str | None,
        town: str | None,
        *,
        firm: RegisteredUnit | None = None,
        citywide: bool = False,
    ) -> Unit:
        """Return the unit that the direction of a rule means in a place.

        Parameters
        ----------
        rule
            The rule that won.
        district, town
            Where the matter happened, as far as known.
        firm
            The enterprise that the text names.
        citywide
            Whether the municipal department may answer where the district is unknown.
        """
        reason = rule.reason
        if rule.unit_code:
            return _as_unit(self.units.by_code[rule.unit_code], rule.id, reason)
        if firm is not None:
            return _as_unit(firm, rule.id, f"{reason}；文中写明{firm.short}")
        found = self.units.find(rule.unit, district, town, citywide=citywide)
        if found is not None:
            if district is None and citywide and found.level == "city":
                reason += "；咨询政策而未涉及具体地点，由市级部门答复"
            elif self.units.has_choice(found):
                reason += f"；{UNNAMED_FIRM}"
            return _as_unit(found, rule.id, reason)
        if district is not None:
            fallback = self.units.find(DISTRICT_CLASS, district)
            if fallback is not None:
                what = "街道（乡镇）" if rule.unit == TOWN_CLASS else rule.unit
                return _as_unit(
                    fallback,
                    FALLBACK_RULE,
                    f"{reason}；已知在{district}、{what}未定，按《条例》第十二条第一款第二项派区政府协调",
                )
        name = "属地街道（乡镇）" if rule.unit == TOWN_CLASS else f"属地{rule.unit}部门"
        return Unit(None, f"{name}（待核实地点）", rule.unit, None, rule.id, reason)

    def _co_units(self, rule: Rule, default: Rule, case: Case, lead: Unit) -> tuple[Unit, ...]:
        classes = rule.co_units if rule.co_units is not None else default.co_units or ()
        units: list[Unit] = []
        for unit_class in classes:
            found = self.units.named(unit_class, case.text, case.district) or self.units.find(
                unit_class, case.district, case.town
            )
            unit = (
                _as_unit(found, rule.id, None)
                if found is not None
                else Unit(None, unit_class, unit_class, None, rule.id, None)
            )
            if unit.name != lead.name and all(unit.name != u.name for u in units):
                units.append(unit)
        return tuple(units)

    def _cc(self, lead: Unit, case: Case) -> tuple[Unit, ...]:
        if lead.unit_class != TOWN_CLASS or case.district is None:
            return ()
        district = self.units.find(DISTRICT_CLASS, case.district)
        if district is None:
            return ()
        return (_as_unit(district, "F-12-1-1", "派街道（乡镇）的工单同时送区政府督办（第十二条）"),)

    def _deadline(self, rule: Rule, leaf: Leaf, case: Case) -> Deadline:
        tier = rule.limit or leaf.limit
        winner = self.rules.deadlines.winner(case, tier)
        if winner is not None:
            return Deadline(winner.apply(tier), f"{winner.basis}（时限规则 {winner.id}）")
        if rule.limit and rule.limit != leaf.limit:
            basis = f"规则 {rule.id} 所定时限（目录为{Tier(leaf.limit).label}）"
        else:
            basis = f"目录“{leaf.name}”办理时限"
        source = rule.basis or leaf.basis
        return Deadline(tier, f"{basis}；{source}" if source else f"{basis}（《条例》第十三条）")


def _as_unit(unit: RegisteredUnit, rule: str, reason: str | None) -> Unit:
    return Unit(unit.code, unit.name, unit.unit_class, None, rule, reason)
