"""Read ``taxonomy/rules/*.yaml`` with errors that name file, line, field and remedy."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from jiesu_nlp.errors import DataError
from jiesu_nlp.route.dates import iso_date
from jiesu_nlp.route.rules import Condition, DeadlineRule, Rule
from jiesu_nlp.vocabulary import UNIT_CLASS_SET, Actor, Gate, Owner, PlaceKind, RequestType, Tier
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
    "gate": frozenset(Gate),
}
_WHEN_FIELDS = frozenset(field.name for field in fields(Condition))
_CODE = re.compile(r"\d{2}(-\d{2}(-\d{3})?)?")
DEADLINES_YAML = "deadlines.yaml"
_DEADLINE_FIELDS = frozenset(
    ("id", "when", "limit", "at_most", "at_least", "basis", "valid_from", "valid_to")
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
            if name in ("leaf", "not_leaf") and not _CODE.fullmatch(value):
                raise child.error(
                    f"“{value}”不是目录编码", field=name, remedy='写成 "09"、"09-02" 或 "09-02-003"'
                )
        if name == "month":
            if not all(v.isdigit() and 1 <= int(v) <= 12 for v in values):
                raise child.error("月份应为 1–12", field=name, remedy="如 [11, 12, 1, 2, 3]")
            months = tuple(int(v) for v in values)
        else:
            parts[name] = values
    return Condition(month=months, **parts)


def _dates(parts: dict[str, YamlNode]) -> tuple[str, str]:
    """Read ``valid_from`` and ``valid_to``."""
    found = {"valid_from": "", "valid_to": ""}
    for name in found:
        if name in parts:
            value = parts[name].text(name)
            if iso_date(value) is None:
                raise parts[name].error(
                    f"不是日期“{value}”", field=name, remedy="写成 2026-01-31；长期有效就删去该字段"
                )
            found[name] = value
    if found["valid_from"] and found["valid_to"] and found["valid_from"] > found["valid_to"]:
        raise parts["valid_to"].error("终止日早于起始日", field="valid_to", remedy="核对两个日期")
    return found["valid_from"], found["valid_to"]


def _tier(parts: dict[str, YamlNode], name: str) -> str:
    if name not in parts:
        return ""
    value = parts[name].text(name)
    if value not in frozenset(Tier):
        raise parts[name].error(f"不认识的时限“{value}”", field=name, remedy="2h/24h/7d/15d")
    return value


def _deadline(node: YamlNode) -> DeadlineRule:
    parts = node.items(_DEADLINE_FIELDS)
    tiers = {name: _tier(parts, name) for name in ("limit", "at_most", "at_least")}
    if sum(map(bool, tiers.values())) != 1:
        raise node.error("limit、at_most、at_least 须且只能写一个", field="limit")
    valid_from, valid_to = _dates(parts)
    return DeadlineRule(
        id=required(parts, "id", node).text("id"),
        when=_condition(required(parts, "when", node)),
        basis=required(parts, "basis", node).text("basis"),
        valid_from=valid_from,
        valid_to=valid_to,
        file=node.path.name,
        line=node.line,
        **tiers,
    )


def _rule(node: YamlNode) -> Rule:
    parts = node.items(_RULE_FIELDS)

    def text(name: str) -> str:
        return parts[name].text(name) if name in parts else ""

    unit, unit_code, limit = text("unit"), text("unit_code"), _tier(parts, "limit")
    if bool(unit) == bool(unit_code):
        raise node.error(
            "unit 与 unit_code 须且只能写一个", field="unit", remedy="一般写 unit（单位类别）"
        )
    if unit and unit not in UNIT_CLASS_SET:
        raise parts["unit"].error(
            f"不认识的单位类别“{unit}”", field="unit", remedy="用术语表中的单位类别"
        )
    co_units = parts["with"].texts("with") if "with" in parts else None
    for co_unit in co_units or ():
        if co_unit not in UNIT_CLASS_SET:
            raise parts["with"].error(
                f"不认识的单位类别“{co_unit}”", field="with", remedy="用术语表中的单位类别"
            )
    valid_from, valid_to = _dates(parts)
    return Rule(
        id=required(parts, "id", node).text("id"),
        when=_condition(required(parts, "when", node)),
        reason=required(parts, "reason", node).text("reason"),
        unit=unit,
        unit_code=unit_code,
        co_units=co_units,
        limit=limit,
        basis=text("basis"),
        valid_from=valid_from,
        valid_to=valid_to,
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
        parts = root.items(frozenset(("rules",)))
        for node in required(parts, "rules", root).sequence("rules"):
            rule = _rule(node)
            where = f"{path.name} 第 {rule.line} 行"
            if rule.id in seen:
                raise node.error(
                    f"规则编号 {rule.id} 与 {seen[rule.id]} 重复", field="id", remedy="换一个新编号"
                )
            seen[rule.id] = where
            rules.append(rule)
    if not rules:
        raise DataError("没有规则文件", path=directory, remedy="恢复 taxonomy/rules/*.yaml")
    return tuple(rules)


def read_deadlines(directory: Path) -> tuple[DeadlineRule, ...]:
    """Read ``deadlines.yaml``.

    Raises
    ------
    DataError
        Naming file, line, field and remedy; also if an id occurs twice.
    """
    root = compose_file(directory / DEADLINES_YAML)
    parts = root.items(frozenset(("deadlines",)))
    found: dict[str, DeadlineRule] = {}
    for node in required(parts, "deadlines", root).sequence("deadlines"):
        rule = _deadline(node)
        if rule.id in found:
            raise node.error(f"时限规则编号 {rule.id} 重复", field="id", remedy="换一个新编号")
        found[rule.id] = rule
    return tuple(found.values())
