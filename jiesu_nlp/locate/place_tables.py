"""Read and check the tables of ``taxonomy/places/``: one record type per kind of table.

``districts.tsv`` and ``towns.tsv`` are required, all others may be missing. Districts and towns that
are not in force today are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jiesu_nlp.locate.gazetteer import KIND_ROW
from jiesu_nlp.route.dates import in_force, iso_date
from jiesu_nlp.tables import Row, read_table

IMPORTED: Final = "imported"
NAMED_TABLES: Final = ("areas", "compounds", "roads", "landmarks", "stations", IMPORTED)
CONFIDENCES: Final = {"high": 1.0, "medium": 0.92, "low": 0.75}
_DISTRICT_CODE: Final = re.compile(r"110\d{3}(\d{3})?")
_TOWN_CODE: Final = re.compile(r"110\d{6}")
_COMMUNITY_CODE: Final = re.compile(r"110\d{9}")
COMMUNITY_KINDS: Final = ("社区", "村", "生活区")
# Finer kinds of the tables that no rule tells apart.
KIND_SYNONYMS: Final = {"mall": "market", "venue": "scenic"}


@dataclass(frozen=True, slots=True)
class DistrictRow:
    """A district or the development zone that overlays some."""

    name: str
    short: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TownRow:
    """A street office, town or functional zone; ``run_by`` handles it if not its district."""

    code: str
    name: str
    district: str
    kind: str
    aliases: tuple[str, ...]
    run_by: str


@dataclass(frozen=True, slots=True)
class CommunityRow:
    """A community or village by official code."""

    name: str
    short: str
    kind: str
    town_code: str


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A place of any other table; towns are full names within its districts."""

    table: str
    line: int
    name: str
    aliases: tuple[str, ...]
    kind: str
    districts: tuple[str, ...]
    towns: tuple[str, ...]
    community: str
    confidence: float


@dataclass(frozen=True)
class PlaceTables:
    """Everything that ``taxonomy/places/`` says."""

    districts: tuple[DistrictRow, ...]
    towns: tuple[TownRow, ...]
    communities: tuple[CommunityRow, ...]
    named: tuple[NamedRow, ...]
    foreign: tuple[str, ...]
    not_places: tuple[str, ...]


def _required(row: Row, *columns: str) -> None:
    for column in columns:
        if not row[column]:
            raise row.error("不能为空", column, "补上该字段")


def _code(row: Row, pattern: re.Pattern[str], column: str = "code") -> str:
    if pattern.fullmatch(row[column]) is None:
        raise row.error(
            f"编码“{row[column]}”不合规", column, "用国家统计局的行政区划编码，110 开头"
        )
    return row[column]


def _live(row: Row) -> bool:
    """Whether a row is in force today."""
    first, last = (row.fields.get(column, "") for column in ("valid_from", "valid_to"))
    for column, value in (("valid_from", first), ("valid_to", last)):
        if value and iso_date(value) is None:
            raise row.error(f"不是日期“{value}”", column, "写成 2026-01-31；不知道就留空")
    if first and last and first > last:
        raise row.error("起始日晚于终止日", "valid_from", "核对两个日期")
    return in_force(first, last)


def _districts(directory: Path) -> Iterator[DistrictRow]:
    seen: dict[str, int] = {}
    for row in read_table(directory / "districts.tsv", ("code", "name", "short", "aliases")):
        _required(row, "name", "short")
        if not _live(row):
            continue
        _code(row, _DISTRICT_CODE)
        if row["name"] in seen:
            raise row.error(f"“{row['name']}”与第 {seen[row['name']]} 行重复", "name", "删去一行")
        seen[row["name"]] = row.line
        yield DistrictRow(row["name"], row["short"], row.many("aliases"))


def _towns(directory: Path, districts: set[str]) -> Iterator[TownRow]:
    seen: dict[tuple[str, str], int] = {}
    columns = ("code", "name", "district", "kind", "aliases")
    for row in read_table(directory / "towns.tsv", columns):
        _required(row, "name", "district")
        run_by = row.fields.get("run_by", "")
        if not _live(row):
            continue
        for column, value in (("district", row["district"]), ("run_by", run_by)):
            if value and value not in districts:
                raise row.error(f"没有名为“{value}”的区", column, "与 districts.tsv 的 name 一致")
        key = (row["district"], row["name"])
        if key in seen:
            raise row.error(f"“{row['name']}”与第 {seen[key]} 行重复", "name", "删去一行")
        seen[key] = row.line
        code = _code(row, _TOWN_CODE)
        yield TownRow(code, row["name"], row["district"], row["kind"], row.many("aliases"), run_by)


def _communities(path: Path, towns: set[str]) -> Iterator[CommunityRow]:
    for row in read_table(path, ("code", "name", "short", "kind", "town_code")):
        _required(row, "name", "short")
        _code(row, _COMMUNITY_CODE)
        if row["town_code"] not in towns:
            raise row.error(
                f"没有编码为“{row['town_code']}”的街道乡镇",
                "town_code",
                "与 towns.tsv 的 code 一致",
            )
        if row["kind"] not in COMMUNITY_KINDS:
            raise row.error(
                f"不认识的类型“{row['kind']}”", "kind", f"可用：{'、'.join(COMMUNITY_KINDS)}"
            )
        yield CommunityRow(row["name"], row["short"], row["kind"], row["town_code"])


def _named(path: Path, towns_of: Mapping[str, set[str]]) -> Iterator[NamedRow]:
    table = path.stem
    columns = ("name", "kind", "district", "town")
    for row in read_table(path, columns):
        _required(row, "name", "kind", "district")
        kind = KIND_SYNONYMS.get(row["kind"], row["kind"])
        if kind not in KIND_ROW:
            raise row.error(f"不认识的类型“{row['kind']}”", "kind", f"可用：{'、'.join(KIND_ROW)}")
        districts = row.many("district")
        for district in districts:
            if district not in towns_of:
                raise row.error(
                    f"没有名为“{district}”的区", "district", "与 districts.tsv 的 name 一致"
                )
        known = set().union(*(towns_of[d] for d in districts))
        towns = row.many("town")
        for town in towns:
            if town not in known:
                raise row.error(
                    f"{'、'.join(districts)}没有“{town}”",
                    "town",
                    "与 towns.tsv 的 name 一致；不确定时留空",
                )
        confidence = row.fields.get("confidence", "") or "high"
        if confidence not in CONFIDENCES:
            raise row.error(
                f"不认识的把握“{confidence}”", "confidence", f"可用：{'、'.join(CONFIDENCES)}"
            )
        aliases = row.many("aliases") if "aliases" in row.fields else ()
        yield NamedRow(
            table=table,
            line=row.line,
            name=row["name"],
            aliases=aliases,
            kind=kind,
            districts=districts,
            towns=towns,
            community=row.fields.get("community", ""),
            confidence=CONFIDENCES[confidence],
        )


def _words(path: Path) -> tuple[str, ...]:
    """Names and aliases of a table whose other columns are for people."""
    if not path.exists():
        return ()
    words: list[str] = []
    for row in read_table(path, ()):
        first = next(iter(row.fields))
        if not row[first]:
            raise row.error("不能为空", first, "补上该字段")
        words.append(row[first])
        if "aliases" in row.fields:
            words += row.many("aliases")
    return tuple(dict.fromkeys(words))


def read_place_tables(directory: Path, *, imported: bool = True) -> PlaceTables:
    """Read all tables of a folder; without the imported one if so asked (it may be large).

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    districts = tuple(_districts(directory))
    towns = tuple(_towns(directory, {d.name for d in districts}))
    towns_of: dict[str, set[str]] = {d.name: set() for d in districts}
    for town in towns:
        towns_of[town.district].add(town.name)
        if town.run_by:
            towns_of[town.run_by].add(town.name)
    communities: tuple[CommunityRow, ...] = ()
    if (directory / "communities.tsv").exists():
        codes = {t.code for t in towns}
        communities = tuple(_communities(directory / "communities.tsv", codes))
    named: list[NamedRow] = []
    for table in NAMED_TABLES:
        path = directory / f"{table}.tsv"
        if path.exists() and (imported or table != IMPORTED):
            named += _named(path, towns_of)
    return PlaceTables(
        districts=districts,
        towns=towns,
        communities=communities,
        named=tuple(named),
        foreign=_words(directory / "foreign.tsv"),
        not_places=_words(directory / "not_places.tsv"),
    )
