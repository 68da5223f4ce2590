"""The unit registry (承办单位): who can receive an order, of which class, for which area."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import DataError
from jiesu_nlp.route.dates import in_force, iso_date
from jiesu_nlp.tables import Row, read_table
from jiesu_nlp.text.matcher import WordMatcher
from jiesu_nlp.vocabulary import UNIT_CLASS_SET

_COLUMNS = "code name short class level parent area aliases valid_from valid_to"
UNIT_COLUMNS = tuple(_COLUMNS.split())
_COMMUNITY = ("社区", "居委会", "居民委员会", "村委会", "村民委员会", "村")
LEVELS = ("city", "district", "town", "enterprise", "none")
WHOLE_CITY = "*"
TOWN_CLASS = "街道乡镇"
DISTRICT_CLASS = "区政府"
RULE_ONLY = "@"
"""An area that starts with it is served only where a rule names the unit by its code."""
LOCAL_LEVELS = frozenset(("district", "town"))


@dataclass(frozen=True, slots=True)
class RegisteredUnit:
    """One unit that can receive an order.

    ``area`` lists the names it serves: ``*`` for the whole city, ``朝阳区`` for a district,
    ``朝阳区/望京街道`` for a town, ``@西站地区`` for a special area that only rules know.
    """

    code: str
    name: str
    short: str
    unit_class: str
    level: str
    parent: str = ""
    area: tuple[str, ...] = (WHOLE_CITY,)
    aliases: tuple[str, ...] = ()
    valid_from: str = ""
    valid_to: str = ""


class UnitRegistry:
    """Units by code and by (class, area); answers "which unit of this class serves this place".

    Parameters
    ----------
    units
        All units, also those of the past and of the future.
    on
        ISO date; units not in force on it are known by code but never found. Today by default.
    """

    def __init__(self, units: Iterable[RegisteredUnit], on: str | None = None) -> None:
        self.units = tuple(units)
        self.by_code: Mapping[str, RegisteredUnit] = {u.code: u for u in self.units}
        self._by_area: dict[tuple[str, str], RegisteredUnit] = {}
        local: set[str] = set()
        firms: dict[str, dict[str, list[RegisteredUnit]]] = {}
        citywide: dict[str, int] = {}
        for unit in self.units:
            if not in_force(unit.valid_from, unit.valid_to, on):
                continue
            for area in unit.area:
                self._by_area.setdefault((unit.unit_class, area), unit)
            if unit.level in LOCAL_LEVELS:
                local.add(unit.unit_class)
            if unit.level == "enterprise" and WHOLE_CITY in unit.area:
                citywide[unit.unit_class] = citywide.get(unit.unit_class, 0) + 1
            if unit.level == "enterprise" and not unit.area[0].startswith(RULE_ONLY):
                words = firms.setdefault(unit.unit_class, {})
                for word in (unit.name, unit.short, *unit.aliases):
                    words.setdefault(word, []).append(unit)
        self._local = frozenset(local)
        self._defaults = frozenset(
            u.code
            for u in self._by_area.values()
            if u.level == "enterprise" and citywide.get(u.unit_class, 0) > 1
        )
        self._firms = {
            cls: (WordMatcher(words), tuple(tuple(found) for found in words.values()))
            for cls, words in firms.items()
            if len({u.code for units_ in words.values() for u in units_}) > 1
        }

    def __len__(self) -> int:
        return len(self.units)

    def find(
        self,
        unit_class: str,
        district: str | None = None,
        town: str | None = None,
        *,
        citywide: bool = False,
    ) -> RegisteredUnit | None:
        """Return the unit of a class that serves a place, the nearest first.

        A class that has units per district or town has no answer without one (the operator asks
        for the place), unless ``citywide`` says that the municipal department may answer.
        """
        if district is not None:
            if town is not None:
                unit = self._by_area.get((unit_class, f"{district}/{town}"))
                if unit is not None:
                    return unit
            unit = self._by_area.get((unit_class, district))
            if unit is not None:
                return unit
        elif unit_class in self._local and not citywide:
            return None
        return self._by_area.get((unit_class, WHOLE_CITY))

    def named(
        self, unit_class: str, text: str, district: str | None = None
    ) -> RegisteredUnit | None:
        """Return the enterprise of a class that a text names (京港地铁, 10086), if there is one.

        Of several the first named wins; a firm that does not serve the district is passed over.
        """
        known = self._firms.get(unit_class)
        if known is None:
            return None
        matcher, owners = known
        for word, _, _ in matcher.find(text):
            for unit in owners[word]:
                if district is None or WHOLE_CITY in unit.area or district in unit.area:
                    return unit
        return None

    @cached_property
    def _classes_by_name(self) -> Mapping[str, tuple[str, ...]]:
        aliases, shorts, names = [], [], []
        for unit in self.units:
            aliases += [(alias, unit.unit_class) for alias in unit.aliases]
            shorts.append((unit.short, unit.unit_class))
            names.append((unit.name, unit.unit_class))
        found: dict[str, tuple[str, ...]] = {}
        # The later ones count more: an alias never takes a name from the unit that bears it.
        for pairs in (aliases, shorts, names):
            classes: dict[str, dict[str, None]] = {}
            for name, unit_class in pairs:
                classes.setdefault(name, {})[unit_class] = None
            found |= {name: tuple(own) for name, own in classes.items()}
        return found

    def classes_of(self, name: str) -> tuple[str, ...]:
        """Return the classes of the units that bear a name, short name or alias; usually one."""
        return self._classes_by_name.get(name, ())

    def has_choice(self, unit: RegisteredUnit) -> bool:
        """Whether other firms of the same class serve the same area, so that this is a default."""
        return unit.code in self._defaults

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain rows for a bundle."""
        return [asdict(unit) for unit in self.units]

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> UnitRegistry:
        """Rebuild from :meth:`to_json`."""
        return cls(
            RegisteredUnit(**{**row, "area": tuple(row["area"]), "aliases": tuple(row["aliases"])})
            for row in rows
        )


def _unit(row: Row) -> RegisteredUnit:
    for column in ("code", "name", "class", "level", "area"):
        if not row[column]:
            raise row.error("不能为空", column, "补上该字段")
    if row["class"] not in UNIT_CLASS_SET:
        raise row.error(f"不认识的单位类别“{row['class']}”", "class", "见术语表的单位类别")
    if row["level"] not in LEVELS:
        raise row.error(f"不认识的层级“{row['level']}”", "level", f"可用：{'、'.join(LEVELS)}")
    dates = {}
    for column in ("valid_from", "valid_to"):
        if row[column] and iso_date(row[column]) is None:
            raise row.error(f"不是日期“{row[column]}”", column, "写成 2026-01-31；不知道就留空")
        dates[column] = row[column]
    if row["valid_from"] and row["valid_to"] and row["valid_from"] > row["valid_to"]:
        raise row.error("起始日晚于终止日", "valid_from", "核对两个日期")
    if row["class"] == TOWN_CLASS and row["name"].endswith(_COMMUNITY):
        raise row.error(
            f"“{row['name']}”是社区（村），不能作为承办单位（《条例》第十七条）", "name", "删去该行"
        )
    return RegisteredUnit(
        code=row["code"],
        name=row["name"],
        short=row["short"] or row["name"],
        unit_class=row["class"],
        level=row["level"],
        parent=row["parent"],
        area=row.many("area"),
        aliases=row.many("aliases"),
        **dates,
    )


def _overlap(a: RegisteredUnit, b: RegisteredUnit) -> bool:
    """Whether there is a day on which both units are in force."""
    later_start = max(a.valid_from, b.valid_from) or date.min.isoformat()
    return all(in_force(unit.valid_from, unit.valid_to, later_start) for unit in (a, b))


def read_units(directory: Path) -> UnitRegistry:
    """Read ``*.tsv`` of ``taxonomy/units/``.

    Codes are unique, and so are (class, area) pairs on any one day, but for enterprises.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    units: list[RegisteredUnit] = []
    codes: dict[str, Row] = {}
    served: dict[tuple[str, str], list[RegisteredUnit]] = {}
    paths = sorted(directory.glob("*.tsv"))
    if not paths:
        raise DataError("没有单位表", path=directory, remedy="恢复 taxonomy/units/*.tsv")
    for path in paths:
        for row in read_table(path, UNIT_COLUMNS):
            unit = _unit(row)
            if unit.code in codes:
                first = codes[unit.code]
                raise row.error(
                    f"单位编码 {unit.code} 与 {first.path.name} 第 {first.line} 行重复", "code"
                )
            codes[unit.code] = row
            # Enterprises may share an area; the first listed is the default of its class.
            if unit.level != "enterprise":
                for area in unit.area:
                    others = served.setdefault((unit.unit_class, area), [])
                    for other in others:
                        if other.name != unit.name and _overlap(other, unit):
                            raise row.error(
                                f"{unit.unit_class}在{area}已有单位“{other.name}”",
                                "area",
                                "同类单位的管辖范围不能重叠；内设机构请写在 aliases，"
                                "前后任请写有效期",
                            )
                    others.append(unit)
            units.append(unit)
    for unit in units:
        if unit.parent and unit.parent not in codes:
            raise codes[unit.code].error(f"上级单位 {unit.parent} 不存在", "parent")
    return UnitRegistry(units)
