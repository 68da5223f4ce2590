"""The unit registry (承办单位): who can receive an order, of which class, for which area."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import DataError
from jiesu_nlp.tables import Row, read_table
from jiesu_nlp.vocabulary import UNIT_CLASS_SET

_COLUMNS = "code name short class level parent area aliases valid_from valid_to"
UNIT_COLUMNS = tuple(_COLUMNS.split())
LEVELS = ("city", "district", "town", "enterprise", "none")
WHOLE_CITY = "*"
TOWN_CLASS = "街道乡镇"
DISTRICT_CLASS = "区政府"


@dataclass(frozen=True, slots=True)
class RegisteredUnit:
    """One unit that can receive an order.

    ``area`` lists the names it serves: ``*`` for the whole city, ``朝阳区`` for a district,
    ``朝阳区/望京街道`` for a town.
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
    """Units by code and by (class, area); answers "which unit of this class serves this place"."""

    def __init__(self, units: Iterable[RegisteredUnit]) -> None:
        self.units = tuple(units)
        self.by_code: Mapping[str, RegisteredUnit] = {u.code: u for u in self.units}
        self._by_area: dict[tuple[str, str], RegisteredUnit] = {}
        for unit in self.units:
            for area in unit.area:
                self._by_area.setdefault((unit.unit_class, area), unit)

    def __len__(self) -> int:
        return len(self.units)

    def find(
        self, unit_class: str, district: str | None = None, town: str | None = None
    ) -> RegisteredUnit | None:
        """Return the unit of a class that serves a place, the nearest first.

        A class whose units exist only per district or town has no answer without one.
        """
        if district is not None:
            if town is not None:
                unit = self._by_area.get((unit_class, f"{district}/{town}"))
                if unit is not None:
                    return unit
            unit = self._by_area.get((unit_class, district))
            if unit is not None:
                return unit
        return self._by_area.get((unit_class, WHOLE_CITY))

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
    return RegisteredUnit(
        code=row["code"],
        name=row["name"],
        short=row["short"] or row["name"],
        unit_class=row["class"],
        level=row["level"],
        parent=row["parent"],
        area=row.many("area"),
        aliases=row.many("aliases"),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
    )


def read_units(directory: Path) -> UnitRegistry:
    """Read ``*.tsv`` of ``taxonomy/units/``; codes and (class, area) pairs are unique.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    units: list[RegisteredUnit] = []
    codes: dict[str, Row] = {}
    served: dict[tuple[str, str], str] = {}
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
                    other = served.setdefault((unit.unit_class, area), unit.name)
                    if other != unit.name:
                        raise row.error(
                            f"{unit.unit_class}在{area}已有单位“{other}”",
                            "area",
                            "同类单位的管辖范围不能重叠；内设机构请写在 aliases",
                        )
            units.append(unit)
    for unit in units:
        if unit.parent and unit.parent not in codes:
            raise codes[unit.code].error(f"上级单位 {unit.parent} 不存在", "parent")
    return UnitRegistry(units)
