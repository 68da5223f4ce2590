"""Read ``taxonomy/rules/*.yaml`` with errors that name file, line, field and remedy."""

from __future__ import annotations

from pathlib import Path

from jiesu_nlp.errors import DataError
from jiesu_nlp.route.rules import Condition, Rule
from jiesu_nlp.vocabulary import UNIT_CLASS_SET, Actor, Owner, PlaceKind, RequestType, Tier
from jiesu_nlp.yaml_nodes import YamlNode, compose_file, required

_RULE_FIELDS = frozenset(
    (
        "id",
        "when",
        "unit",
        "unit_code",
        "with",
        "limit",
        "reason",
        "basis",
        "valid_from",
        "valid_to",
    )
)
_VALUES: dict[str, frozenset[str]] = {
    "kind": frozenset(PlaceKind),
    "owner": frozenset(Owner),
    "actor": frozenset(Actor),
    "type": frozenset(RequestType),
}
_WHEN_FIELDS = frozenset(
    ("leaf", "kind", "owner", "actor", "type", "district", "town", "month", "words", "not_words")
)


def _condition(node: YamlNode) -> Condition:
    parts: dict[str, tuple[str, ...]] = {}
    months: tuple[int, ...] = ()
    for name, child in node.items(_WHEN_FIELDS).items():
        values = child.texts(name)
        if not values:
            raise child.error("条件不能为空", field=name, remedy="写上取值，或删去该条件")
        known = _VALUES.get(name)
        for value in values:
            if known is not None and value not in known:
                raise child.error(
                    f"不认识的取值“{value}”", field=name, remedy=f"可用：{'、'.join(sorted(known))}"
                )
        if name == "month":
            if not all(v.isdigit() and 1 <= int(v) <= 12 for v in values):
                raise child.error("月份应为 1–12", field=name)
            months = tuple(int(v) for v in values)
        else:
            parts[name] = values
    return Condition(month=months, **parts)


def _rule(node: YamlNode) -> Rule:
    fields = node.items(_RULE_FIELDS)

    def text(name: str) -> str:
        return fields[name].text(name) if name in fields else ""

    unit, unit_code, limit = text("unit"), text("unit_code"), text("limit")
    if bool(unit) == bool(unit_code):
        raise node.error("unit 与 unit_code 须且只能写一个", field="unit")
    if unit and unit not in UNIT_CLASS_SET:
        raise fields["unit"].error(f"不认识的单位类别“{unit}”", field="unit")
    if limit and limit not in frozenset(Tier):
        raise fields["limit"].error(f"不认识的时限“{limit}”", field="limit", remedy="2h/24h/7d/15d")
    co_units = fields["with"].texts("with") if "with" in fields else None
    for co_unit in co_units or ():
        if co_unit not in UNIT_CLASS_SET:
            raise fields["with"].error(f"不认识的单位类别“{co_unit}”", field="with")
    return Rule(
        id=required(fields, "id", node).text("id"),
        when=_condition(required(fields, "when", node)),
        reason=required(fields, "reason", node).text("reason"),
        unit=unit,
        unit_code=unit_code,
        co_units=co_units,
        limit=limit,
        basis=text("basis"),
        valid_from=text("valid_from"),
        valid_to=text("valid_to"),
        file=node.path.name,
        line=node.line,
    )


def read_rules(directory: Path) -> tuple[Rule, ...]:
    """Read all rule files in file-name order.

    Raises
    ------
    DataError
        Naming file, line, field and remedy; also if an id occurs twice.
    """
    rules: list[Rule] = []
    seen: dict[str, str] = {}
    for path in sorted(directory.glob("[0-9]*.yaml")):
        root = compose_file(path)
        fields = root.items(frozenset(("rules",)))
        for node in required(fields, "rules", root).sequence("rules"):
            rule = _rule(node)
            where = f"{path.name} 第 {rule.line} 行"
            if rule.id in seen:
                raise node.error(f"规则编号 {rule.id} 与 {seen[rule.id]} 重复", field="id")
            seen[rule.id] = where
            rules.append(rule)
    if not rules:
        raise DataError("没有规则文件", path=directory, remedy="恢复 taxonomy/rules/*.yaml")
    return tuple(rules)
