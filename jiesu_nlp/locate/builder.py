"""Build the gazetteer from the tables: entries with zones and weights, keys with their flags."""

from __future__ import annotations

import re
from typing import Final

from jiesu_nlp.locate.gazetteer import KIND_ROW, OVERLAY_DISTRICT, Gazetteer, KeyFlag, Town
from jiesu_nlp.locate.place_tables import CONFIDENCES, CommunityRow, NamedRow, PlaceTables, TownRow
from jiesu_nlp.locate.spelling import (
    community_spellings,
    station_spellings,
    trust,
    without_district,
)

# How likely a bare name means an entry of this table, were nothing else known.
_PRIOR: Final = {
    "areas": 2.0,
    "compounds": 1.5,
    "landmarks": 1.5,
    "roads": 1.2,
    "stations": 1.2,
    # A city's own library knows better than what was written from memory.
    "imported": 4.0,
}
_TOWN_PRIOR: Final = 2.5
_COMMUNITY_PRIOR: Final = {"社区": 1.0, "生活区": 0.8, "村": 0.5}
# Ordinary Chinese whose head is a name of the city's tables; more of them in not_places.tsv.
_NEVER_PLACES: Final = tuple(
    """
    上地铁 上地面 上地下 上地图 上地板 教育部门 公安部门 交通部门 民政部门 司法部门 财政部门 商务部门 水利部门 建设部门
    从前门上 前门上车 前门下车 前门进 前门出 住平房 平房区域 朝阳产业 朝阳行业 朝阳群众 夕阳朝阳 怀柔政策 怀柔手段 密云不雨
    大兴土木 大兴调查 泡温泉 沙滩排球 沙滩椅 人大代表 人大常委 人大会议 市人大 区人大 全国人大 北大青鸟 安定医院开
    香山红叶 和平解决 和平共处 东风汽车 东风日产 东风本田 天坛牌 同仁堂 首钢工人
    """.split()
)
_KNOWN_VILLAGE: Final = 1.5
_TOWN_SUFFIX: Final = re.compile("(?:街道|地区|镇|乡)$")
_UNSURE: Final = KeyFlag.WEAK | KeyFlag.HARD | KeyFlag.CONTEXT
_QUALIFIER: Final = re.compile("[（(][^）)]*[）)]$")
_GENERIC_ZONE: Final = ("经开区", "开发区", "经济技术开发区", "经济开发区")
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
            flags &= ~_UNSURE
            flag &= ~_UNSURE
        if entry is not None and entry not in rows:
            rows.append(entry)
        self.keys[spelling] = (flags | flag, rows)

    def add_districts(self) -> None:
        for district in self.tables.districts:
            row = self.entry(
                district.name, "district", (~self.district_row[district.name],), weight=3.0
            )
            own = (a for a in district.aliases if not a.startswith("北京"))
            # In order: a set's would differ from one process to the next, and so the version.
            full = dict.fromkeys((district.name, *own))
            for spelling in full:
                if spelling.startswith(_GENERIC_ZONE):
                    # Every city has one; here it can only mean ours, elsewhere another.
                    flag = KeyFlag.WEAK
                elif spelling.endswith(("区", "县")) or len(spelling) > 3 or spelling.isascii():
                    flag = KeyFlag.PLAIN
                else:
                    flag = KeyFlag.SHORT_DISTRICT
                self.key(spelling, row, flag)
            for spelling in district.aliases:
                # 北京朝阳 would swallow the head of 北京朝阳区 and 北京朝阳站; 北京 and 朝阳 do not.
                if spelling.startswith("北京") and spelling.removeprefix("北京市") not in full:
                    rest = spelling.removeprefix("北京")
                    if rest != district.short and rest not in full:
                        self.key(spelling, row)
            generic = district.short.startswith(_GENERIC_ZONE)
            self.key(district.short, row, KeyFlag.WEAK if generic else KeyFlag.SHORT_DISTRICT)

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
                self.key(spelling, row, trust(spelling))
            if town.kind == "地区" and town.name.endswith("地区"):
                self.key(town.name + "办事处", row)

    def add_town_stems(self) -> None:
        """Let 龙潭这边, 安定那边 mean the town, where no table knows the name better."""
        for (_, name), zone in list(self.town_rows.items()):
            stem = _TOWN_SUFFIX.sub("", name)
            if zone >= 0 and len(stem) > 1 and stem != name and stem not in self.keys:
                row = next(
                    r for r, n in enumerate(self.names) if n == name and self.zones[r] == (zone,)
                )
                self.key(stem, row, KeyFlag.WEAK | KeyFlag.HARD)

    def district_alias(self, town: TownRow) -> None:
        """Let the spellings of the development zone, which has a town's code too, mean the district."""
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
            self.key(spelling, row, trust(spelling, weak=weak))

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
        for written in (named.name, *named.aliases):
            # A qualifier in brackets tells namesakes apart in the table; nobody writes it.
            spelling = _QUALIFIER.sub("", written)
            if spelling != written or named.confidence <= CONFIDENCES["low"]:
                self.key(spelling, row, KeyFlag.WEAK | KeyFlag.CONTEXT)
                continue
            if spelling.isdigit() and named.kind != "area":
                continue
            if named.kind == "station":
                for form, weak in station_spellings(spelling):
                    self.key(form, row, trust(form, weak=weak))
            else:
                self.key(spelling, row, trust(spelling))

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

    def favour_known_villages(self) -> None:
        """Of villages of one name, the one whose name is also a known area is meant (小堡村)."""
        area = KIND_ROW["area"]
        for row, kind in enumerate(self.kinds):
            if kind != KIND_ROW["village"]:
                continue
            _, others = self.keys.get(self.names[row].removesuffix("村"), (KeyFlag.PLAIN, []))
            zone = self.zones[row][0]
            if any(self.kinds[o] == area and zone in self.zones[o] for o in others):
                self.weights[row] = round(self.weights[row] + _KNOWN_VILLAGE, 3)

    def build(self) -> Gazetteer:
        self.add_districts()
        self.add_towns()
        for community in self.tables.communities:
            self.add_community(community)
        for named in self.tables.named:
            self.add_named(named)
        self.add_town_stems()
        self.favour_known_villages()
        self.drop_composed()
        for spelling in _CITY_NAMES:
            self.key(spelling, None, KeyFlag.CITY)
        for spelling in self.tables.foreign:
            if spelling not in self.keys:
                self.key(spelling, None, KeyFlag.FOREIGN)
        for spelling in (*_NEVER_PLACES, *self.tables.not_places):
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
