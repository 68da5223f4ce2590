"""Build the gazetteer from the tables: entries with zones and weights, keys with their flags."""

from __future__ import annotations

from typing import Final

from jiesu_nlp.locate.gazetteer import KIND_ROW, OVERLAY_DISTRICT, Gazetteer, KeyFlag, Town
from jiesu_nlp.locate.place_tables import CommunityRow, NamedRow, PlaceTables, TownRow
from jiesu_nlp.locate.spelling import (
    community_spellings,
    is_common,
    station_spellings,
    without_district,
)

# How likely a bare name means an entry of this table, were nothing else known.
_PRIOR: Final = {
    "areas": 2.0,
    "compounds": 1.5,
    "landmarks": 1.5,
    "roads": 1.2,
    "stations": 1.2,
    "imported": 1.1,
}
_TOWN_PRIOR: Final = 2.5
_COMMUNITY_PRIOR: Final = {"社区": 1.0, "生活区": 0.8, "村": 0.5}
_CITY_NAMES: Final = ("北京", "北京市", "首都北京", "本市")


class _Builder:
    """Collects entries and keys; identical keys meet in one."""

    def __init__(self, tables: PlaceTables) -> None:
        self.tables = tables
        # The overlay comes last, so that its row is known without a search.
        self.districts = [d.name for d in tables.districts if d.name != OVERLAY_DISTRICT]
        if len(self.districts) != len(tables.districts):
            self.districts.append(OVERLAY_DISTRICT)
        self.district_row = {name: row for row, name in enumerate(self.districts)}
        self.towns: list[Town] = []
        self.town_rows: dict[tuple[str, str], int] = {}
        self.town_by_code: dict[str, int] = {}
        self.names: list[str] = []
        self.kinds: list[int] = []
        self.zones: list[tuple[int, ...]] = []
        self.weights: list[float] = []
        self.communities: dict[int, str] = {}
        self.keys: dict[str, tuple[int, list[int]]] = {}

    def entry(self, name: str, kind: str, zones: tuple[int, ...], weight: float) -> int:
        """Add an entry and return its row."""
        self.names.append(name)
        self.kinds.append(KIND_ROW[kind])
        self.zones.append(zones)
        self.weights.append(round(weight, 3))
        return len(self.names) - 1

    def key(self, spelling: str, entry: int | None, flag: KeyFlag = KeyFlag.PLAIN) -> None:
        """Let a spelling stand for an entry; it is weak only if all who use it say so."""
        known = self.keys.get(spelling)
        if known is None:
            self.keys[spelling] = (flag, [] if entry is None else [entry])
            return
        flags, rows = known
        if not (flag & KeyFlag.WEAK and flags & KeyFlag.WEAK):
            flags &= ~KeyFlag.WEAK
            flag &= ~KeyFlag.WEAK
        if entry is not None and entry not in rows:
            rows.append(entry)
        self.keys[spelling] = (flags | flag, rows)

    def add_districts(self) -> None:
        for district in self.tables.districts:
            row = self.entry(
                district.name, "district", (~self.district_row[district.name],), weight=3.0
            )
            full = {district.name, *(a for a in district.aliases if not a.startswith("北京"))}
            for spelling in full:
                bare = spelling.endswith(("区", "县")) or len(spelling) > 3
                self.key(
                    spelling,
                    row,
                    KeyFlag.PLAIN if bare or spelling.isascii() else KeyFlag.SHORT_DISTRICT,
                )
            for spelling in district.aliases:
                # 北京朝阳 would swallow the head of 北京朝阳区 and 北京朝阳站; 北京 and 朝阳 do not.
                if spelling.startswith("北京") and spelling.removeprefix("北京市") not in full:
                    rest = spelling.removeprefix("北京")
                    if rest != district.short and rest not in full:
                        self.key(spelling, row)
            self.key(district.short, row, KeyFlag.SHORT_DISTRICT)
            if district.short.endswith("区"):
                self.key(district.short, row)

    def add_towns(self) -> None:
        for town in self.tables.towns:
            if town.name == OVERLAY_DISTRICT:
                self.district_alias(town)
                continue
            district = self.district_row[town.run_by or town.district]
            zone = len(self.towns)
            self.towns.append(Town(town.name, district, self.district_row[town.district]))
            self.town_rows[town.district, town.name] = zone
            self.town_rows.setdefault((town.run_by, town.name), zone)
            self.town_by_code[town.code] = zone
            row = self.entry(town.name, "town", (zone,), _TOWN_PRIOR)
            self.key(town.name, row)
            for spelling in town.aliases:
                self.key(spelling, row, KeyFlag.WEAK if is_common(spelling) else KeyFlag.PLAIN)
            if town.kind == "地区" and town.name.endswith("地区"):
                self.key(town.name + "办事处", row)

    def district_alias(self, town: TownRow) -> None:
        """The development zone has a town's code too: its spellings mean the district."""
        row = self.names.index(town.name)
        self.town_by_code[town.code] = ~self.district_row[town.name]
        self.town_rows[town.district, town.name] = ~self.district_row[town.name]
        for spelling in town.aliases:
            self.key(spelling, row)

    def add_community(self, community: CommunityRow) -> None:
        zone = self.town_by_code[community.town_code]
        village = community.kind == "村"
        row = self.entry(
            community.short,
            "village" if village else "community",
            (zone,),
            _COMMUNITY_PRIOR[community.kind],
        )
        self.communities[row] = community.name
        for spelling, weak in community_spellings(community.short, community.kind):
            self.key(spelling, row, KeyFlag.WEAK if weak else KeyFlag.PLAIN)

    def add_named(self, named: NamedRow) -> None:
        towns = tuple(
            self.town_rows[d, t] for t in named.towns for d in named.districts
            if (d, t) in self.town_rows
        )  # fmt: skip
        covered = set()
        for zone in towns:
            if zone < 0:
                covered.add(~zone)
            else:
                covered |= {self.towns[zone].district, self.towns[zone].coded}
        # A district none of whose towns is named may be meant as a whole.
        open_districts = tuple(
            ~self.district_row[d] for d in named.districts if self.district_row[d] not in covered
        )
        zones = tuple(dict.fromkeys(towns + open_districts))
        row = self.entry(
            named.name, named.kind, zones, _PRIOR.get(named.table, 1.0) * named.confidence
        )
        if named.community:
            self.communities[row] = named.community
        for spelling in (named.name, *named.aliases):
            if named.kind == "station":
                for form, weak in station_spellings(spelling):
                    self.key(form, row, KeyFlag.WEAK if weak else KeyFlag.PLAIN)
            else:
                self.key(spelling, row, KeyFlag.WEAK if is_common(spelling) else KeyFlag.PLAIN)

    def drop_composed(self) -> None:
        """Drop 朝阳八里庄 where 朝阳 and 八里庄 alone lead to the same entry.

        The longer key would swallow the head of a longer name that begins inside it
        (朝阳八里庄街道).
        """
        for spelling in list(self.keys):
            rest = without_district(spelling)
            if rest is None or rest not in self.keys:
                continue
            rows, bare = self.keys[spelling][1], self.keys[rest][1]
            if rows and all(r in bare for r in rows):
                del self.keys[spelling]

    def build(self) -> Gazetteer:
        self.add_districts()
        self.add_towns()
        for community in self.tables.communities:
            self.add_community(community)
        for named in self.tables.named:
            self.add_named(named)
        self.drop_composed()
        for spelling in _CITY_NAMES:
            self.key(spelling, None, KeyFlag.CITY)
        for spelling in self.tables.foreign:
            if spelling not in self.keys:
                self.key(spelling, None, KeyFlag.FOREIGN)
        for spelling in self.tables.not_places:
            if spelling in self.keys:
                # A name of a place too: then only with words around it that speak of one.
                flags, rows = self.keys[spelling]
                self.keys[spelling] = (flags | KeyFlag.WEAK, rows)
            else:
                self.key(spelling, None, KeyFlag.NOT_PLACE)
        return Gazetteer(
            districts=tuple(self.districts),
            towns=tuple(self.towns),
            names=self.names,
            kinds=self.kinds,
            zones=self.zones,
            weights=self.weights,
            communities=self.communities,
            keys=list(self.keys),
            flags=[int(flag) for flag, _ in self.keys.values()],
            rows=[rows for _, rows in self.keys.values()],
        )


def build_gazetteer(tables: PlaceTables) -> Gazetteer:
    """Merge all tables into one gazetteer."""
    return _Builder(tables).build()
