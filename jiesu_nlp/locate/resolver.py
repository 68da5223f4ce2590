"""From mentions to one place: join what belongs together, choose where it happened, narrow it down.

A *site* is a run of mentions that name one place (朝阳区 + 望京 + 望京西园四区). Its zones are what
all of them allow. Of several sites the one that looks most like the place of the matter wins; the
others may narrow it down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from jiesu_nlp.locate.gazetteer import KIND_ROW, Gazetteer
from jiesu_nlp.locate.mentions import Mention
from jiesu_nlp.locate.roles import Role, is_crossing, is_route, role_of
from jiesu_nlp.suggestion import Place, PlaceCandidate
from jiesu_nlp.vocabulary import PlaceStatus

_DISTRICT: Final = KIND_ROW["district"]
_TOWN: Final = KIND_ROW["town"]
_AREA: Final = KIND_ROW["area"]
_STATION: Final = KIND_ROW["station"]
_COMMUNITY: Final = KIND_ROW["community"]
_VILLAGE: Final = KIND_ROW["village"]
_ROADS: Final = frozenset(
    KIND_ROW[k] for k in ("municipal_road", "highway", "expressway", "bridge", "river", "street")
)
# How exactly a kind of entry says where; a finer one gives the place its name.
_FINENESS: Final = {
    row: 0.0 if kind == "district"
    else 2.0 if kind in {"town", "area"}
    else 1.0 if row in _ROADS
    else 4.0 if kind in {"compound", "community", "village"}
    else 3.0
    for kind, row in KIND_ROW.items()
}  # fmt: skip
# Entries of one spelling are tried tier by tier: 和平里 is the street office before the community.
_TIER: Final = {
    row: 0 if kind in {"district", "town", "area"}
    else 2 if kind == "station"
    else 3 if kind == "community"
    else 4 if kind == "village"
    else 1
    for kind, row in KIND_ROW.items()
}  # fmt: skip
_MOST_CANDIDATES: Final = 8
_LINE_STOPS: Final = 2
# Share of the weight at which one of several namesakes is taken.
_DOMINANT: Final = 0.7
# An area that spans towns is mostly the town of its name: so much of the trust remains.
_NAMESAKE: Final = 0.75
_TOWN_SUFFIXES: Final = frozenset(("街道", "镇", "乡", "地区"))
_STATION_AFTER: Final = re.compile(
    "(?:地铁|城铁|轻轨|公交|高铁)?站|地铁|[A-H]1?[出口]|[东西南北]{1,2}口"
)
_STATION_BEFORE: Final = re.compile("(?:地铁|号线|城铁)(?:的)?$")
_COMMUNITY_AFTER: Final = re.compile(
    "小区|社区|[东西南北一二三四五六七八九十0-9]{1,3}[区里]|居委会"
)
_VILLAGE_AFTER: Final = re.compile("村|大队")
_LINK_GAP: Final = re.compile("[区县市镇乡的 (（/:-]{0,3}|街道|地区|[^,。;!?\\n]{0,8}")
_BARE_LINK: Final = re.compile("[区县市镇乡的 (（/-]{0,2}|街道|地区")


@dataclass(slots=True)
class Site:
    """Mentions that name one place, the zones they leave and the entries of the finest one."""

    mentions: list[Mention]
    rows: tuple[int, ...]
    zones: tuple[int, ...]
    fineness: float
    role: Role = Role.NEUTRAL
    # The district or town is in so many words, not guessed from a name.
    explicit: bool = False
    # Further ends of a route.
    others: list[Site] = field(default_factory=list)
    score: float = 0.0

    @property
    def start(self) -> int:
        """Where the site begins in the text."""
        return self.mentions[0].start

    @property
    def end(self) -> int:
        """Where the site ends in the text."""
        return self.mentions[-1].end


class Resolver:
    """Joins, chooses and narrows; holds nothing of a text."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer

    # --- joining ---------------------------------------------------------------------------------

    def sites(self, text: str, mentions: Sequence[Mention]) -> list[Site]:
        """Join mentions into sites, in order."""
        sites: list[Site] = []
        for mention in mentions:
            rows = self._by_words_around(text, mention)
            if sites and self._join(text, sites[-1], mention, rows):
                continue
            rows = self._top_tier(rows)
            sites.append(
                Site(
                    [mention],
                    rows,
                    self._zones(rows),
                    max(_FINENESS[self._gazetteer.kinds[r]] for r in rows),
                    explicit=self._explicit(mention, rows),
                )
            )
        for site in sites:
            site.role = Role.COMPANY if site.mentions[-1].company else role_of(
                text, site.start, site.end
            )  # fmt: skip
        return self._routes(text, sites)

    def _zones(self, rows: Iterable[int]) -> tuple[int, ...]:
        zones = self._gazetteer.zones
        return tuple(dict.fromkeys([z for r in rows for z in zones[r]]))

    def _explicit(self, mention: Mention, rows: tuple[int, ...]) -> bool:
        return not mention.weak and not mention.homophone and all(
            self._gazetteer.kinds[r] in (_DISTRICT, _TOWN) for r in rows
        )  # fmt: skip

    def _top_tier(self, rows: tuple[int, ...]) -> tuple[int, ...]:
        if len(rows) == 1:
            return rows
        kinds = self._gazetteer.kinds
        best = min(_TIER[kinds[r]] for r in rows)
        return tuple(r for r in rows if _TIER[kinds[r]] == best)

    def _by_words_around(self, text: str, mention: Mention) -> tuple[int, ...]:
        """Prefer the station in 双井站 and the community in 双井小区."""
        rows = mention.rows
        if len(rows) == 1:
            return rows
        kinds = self._gazetteer.kinds
        wanted: tuple[int, ...] = ()
        if any(kinds[r] == _STATION for r in rows) and (
            _STATION_AFTER.match(text, mention.end) is not None
            or _STATION_BEFORE.search(text, max(0, mention.start - 4), mention.start) is not None
        ):
            wanted = tuple(r for r in rows if kinds[r] == _STATION)
        elif _COMMUNITY_AFTER.match(text, mention.end) is not None:
            wanted = tuple(r for r in rows if _FINENESS[kinds[r]] == 4.0 and kinds[r] != _VILLAGE)
        elif _VILLAGE_AFTER.match(text, mention.end) is not None:
            wanted = tuple(r for r in rows if kinds[r] == _VILLAGE)
        return wanted or rows

    def _meet(
        self, zones: Sequence[int], rows: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Narrow zones by a name: the entries and zones that fit, first tier that has any."""
        gazetteer = self._gazetteer
        for tier in range(5):
            kept: list[int] = []
            met: dict[int, None] = {}
            for row in rows:
                if _TIER[gazetteer.kinds[row]] != tier:
                    continue
                both = [
                    z for a in zones for b in gazetteer.zones[row]
                    if (z := gazetteer.meet(a, b)) is not None
                ]  # fmt: skip
                if both:
                    kept.append(row)
                    met.update(dict.fromkeys(both))
            if kept:
                return tuple(kept), tuple(met)
        return (), ()

    def _join(self, text: str, site: Site, mention: Mention, rows: tuple[int, ...]) -> bool:
        """Make a mention part of the site before it if both name one place."""
        if mention.start - site.end > 9:
            return False
        bare = _BARE_LINK.fullmatch(text, site.end, mention.start) is not None
        kinds = self._gazetteer.kinds
        administrative = all(kinds[r] in (_DISTRICT, _TOWN, _AREA) for r in site.rows)
        crossing = not bare and is_crossing(text, site.end, mention.start)
        if not bare and not crossing:
            linked = _LINK_GAP.fullmatch(text, site.end, mention.start) is not None
            # Words between two names join them only from the whole to the part.
            if not linked or not administrative or is_route(text, site.end, mention.start):
                return False
        if crossing and not all(kinds[r] in _ROADS for r in site.rows):
            return False
        fineness = max(_FINENESS[kinds[r]] for r in rows)
        if not bare and not crossing and fineness <= site.fineness:
            return False
        kept, zones = self._meet(site.zones, rows)
        if kept:
            site.mentions.append(mention)
            site.explicit = site.explicit or self._explicit(mention, kept)
            site.zones = zones
            fineness = max(_FINENESS[kinds[r]] for r in kept)
            if fineness >= site.fineness:
                site.rows, site.fineness = kept, fineness
            return True
        # 海淀区永安里小区: the district is said outright, so the name is another, unknown one.
        return bare and site.explicit and mention.start == site.end and fineness >= 1.0

    def _routes(self, text: str, sites: list[Site]) -> list[Site]:
        """Join the ends of a way into one site."""
        joined: list[Site] = []
        for site in sites:
            if joined and is_route(text, joined[-1].end, site.start):
                head = joined[-1]
                last = head.others[-1] if head.others else head
                if last.role is not Role.HOME and last.role is not Role.WORK:
                    head.others.append(site)
                    head.role = Role.ROUTE if head.role is Role.NEUTRAL else head.role
                    head.mentions += site.mentions
                    continue
            joined.append(site)
        return joined

    # --- choosing --------------------------------------------------------------------------------

    def choose(self, sites: Sequence[Site]) -> Site | None:
        """Return the site where the matter most likely happened."""
        best: Site | None = None
        for position, site in enumerate(sites):
            score = site.role.value + 0.25 * site.fineness - 0.04 * position
            if site.mentions[0].weak and len(site.mentions) == 1:
                score -= 0.5
            if len(site.others) >= _LINE_STOPS:
                # A list of stops is what the text is about, not the way to somewhere.
                score += 1.0
            if len({self._gazetteer.district_of(z) for z in site.zones}) > 1:
                score -= 0.4
            site.score = score
            if best is None or score > best.score:
                best = site
        return best

    def narrow(
        self, site: Site, sites: Sequence[Site]
    ) -> tuple[tuple[int, ...], tuple[int, ...], list[Mention]]:
        """Narrow a site by what else the text names; return entries, zones and the evidence."""
        rows, zones, evidence = site.rows, site.zones, list(site.mentions)
        if site.others:
            return rows, zones, evidence
        gazetteer = self._gazetteer
        named: Site | None = site
        for other in sorted(sites, key=lambda s: -s.score):
            if other is site or other.others or (len(zones) == 1 and zones[0] >= 0):
                continue
            if other.role in (Role.COMPARED, Role.COMPANY, Role.ORIGIN, Role.WORK):
                continue
            district_site = site.fineness == 0.0
            if other.role is Role.HOME and not (
                district_site or len({gazetteer.district_of(z) for z in zones}) > 1
            ):
                continue
            met = [z for a in zones for b in other.zones if (z := gazetteer.meet(a, b)) is not None]
            narrower = tuple(dict.fromkeys(met))
            if not narrower or narrower == zones:
                continue
            # An ambiguous name narrows nothing; a road elsewhere in the district is no proof.
            if len({gazetteer.district_of(z) for z in other.zones}) > 1:
                continue
            if not district_site and other.fineness == 1.0:
                continue
            zones = narrower
            evidence += other.mentions
            if district_site and named is site:
                rows, named = other.rows, other
        if zones == site.zones:
            return rows, zones, evidence
        kept = tuple(
            r for r in rows
            if any(gazetteer.meet(a, b) is not None for a in gazetteer.zones[r] for b in zones)
        )  # fmt: skip
        return kept or rows, zones, evidence

    # --- answering -------------------------------------------------------------------------------

    def place(self, site: Site, sites: Sequence[Site]) -> tuple[Place, tuple[int, ...]]:
        """Return the place of the chosen site (without its kind) and its entries."""
        gazetteer = self._gazetteer
        rows, zones, mentions = self.narrow(site, sites)
        shares = self._shares(rows, zones)
        for other in site.others:
            # Both ends of a way count alike.
            for zone, share in self._shares(other.rows, other.zones).items():
                shares[zone] = shares.get(zone, 0.0) + share
        if site.others:
            total = sum(shares.values())
            shares = {z: s / total for z, s in sorted(shares.items(), key=lambda i: -i[1])}
            rows = tuple(dict.fromkeys((*rows, *(r for o in site.others for r in o.rows))))
        districts: dict[str, float] = {}
        for zone, share in shares.items():
            name = gazetteer.district_of(zone)
            districts[name] = districts.get(name, 0.0) + share
        top_district = max(districts, key=districts.__getitem__)
        row = max(rows, key=lambda r: (gazetteer.weights[r], -r))
        name = gazetteer.names[row]
        community = self._community(rows, zones)
        trust = self._trust(site, rows)
        evidence = tuple(sorted({(m.start, m.end) for m in mentions}))
        dominant = (
            not site.others
            and len(rows) > 1
            and districts[top_district] >= _DOMINANT
            and len({gazetteer.district_of(z) for z in gazetteer.zones[row]}) == 1
        )
        if len(districts) > 1 and dominant:
            # One of the namesakes is by far the better known: it, with doubt.
            trust *= districts[top_district]
            shares = {z: s for z, s in shares.items() if gazetteer.district_of(z) == top_district}
        elif len(districts) > 1:
            return (
                Place(
                    name=name,
                    status=PlaceStatus.AMBIGUOUS.value,
                    confidence=round(trust * districts[top_district], 3),
                    candidates=self._candidates(rows, shares, trust),
                    evidence=evidence,
                ),
                rows,
            )
        towns = [z for z in shares if z >= 0]
        if len(shares) == 1 and towns:
            return (
                Place(
                    name=name,
                    district=top_district,
                    town=gazetteer.town_of(towns[0]),
                    community=community,
                    status=PlaceStatus.RESOLVED.value,
                    confidence=round(trust, 3),
                    evidence=evidence,
                ),
                rows,
            )
        namesake = next((z for z in towns if _is_named_after(gazetteer.town_of(z), name)), None)
        kinds = {gazetteer.kinds[r] for r in rows}
        if namesake is not None and kinds <= {_TOWN, _AREA, _STATION}:
            return (
                Place(
                    name=name,
                    district=top_district,
                    town=gazetteer.town_of(namesake),
                    status=PlaceStatus.RESOLVED.value,
                    confidence=round(trust * _NAMESAKE, 3),
                    candidates=self._candidates(rows, {z: shares[z] for z in towns}, trust),
                    evidence=evidence,
                ),
                rows,
            )
        return (
            Place(
                name=name,
                district=top_district,
                status=PlaceStatus.DISTRICT_ONLY.value,
                confidence=round(trust, 3),
                candidates=self._candidates(rows, {z: shares[z] for z in towns}, trust),
                evidence=evidence,
            ),
            rows,
        )

    def _community(self, rows: Sequence[int], zones: Sequence[int]) -> str | None:
        if len(zones) != 1:
            return None
        names = {self._gazetteer.communities.get(r) for r in rows}
        return names.pop() if len(names) == 1 else None

    def _shares(self, rows: Sequence[int], zones: Sequence[int]) -> dict[int, float]:
        """Spread the weights of the entries over the zones that are left."""
        if len(zones) == 1:
            return {zones[0]: 1.0}
        gazetteer = self._gazetteer
        shares = dict.fromkeys(zones, 0.02)
        for row in rows:
            fit = [z for z in zones if any(gazetteer.meet(z, b) == z for b in gazetteer.zones[row])]
            for zone in fit:
                # Zones of an entry are listed with the likeliest first.
                shares[zone] += gazetteer.weights[row] / len(fit)
        total = sum(shares.values())
        return {z: s / total for z, s in sorted(shares.items(), key=lambda item: -item[1])}

    def _trust(self, site: Site, rows: Sequence[int]) -> float:
        """Estimate how likely the place is right, from the role, the spelling and the tables."""
        trust = 0.97 if site.explicit else 0.9
        if not site.explicit:
            trust *= min(1.0, 0.85 + 0.1 * max(self._gazetteer.weights[r] for r in rows))
        if site.role in (Role.HOME, Role.UNIT, Role.ROUTE):
            trust *= 0.85
        elif site.role.value <= 1.0:
            trust *= 0.55
        if site.mentions[0].weak and len(site.mentions) == 1:
            trust *= 0.85
        if site.mentions[0].homophone:
            trust *= 0.6
        return trust

    def _candidates(
        self, rows: Sequence[int], shares: dict[int, float], trust: float
    ) -> tuple[PlaceCandidate, ...]:
        gazetteer = self._gazetteer
        found = []
        for zone, share in list(shares.items())[:_MOST_CANDIDATES]:
            row = next(
                (
                    r
                    for r in rows
                    if any(gazetteer.meet(zone, b) == zone for b in gazetteer.zones[r])
                ),
                rows[0],
            )
            found.append(
                PlaceCandidate(
                    name=gazetteer.names[row],
                    district=gazetteer.district_of(zone),
                    town=gazetteer.town_of(zone),
                    community=gazetteer.communities.get(row) if zone >= 0 else None,
                    confidence=round(trust * share, 3),
                )
            )
        return tuple(found)


def _is_named_after(town: str | None, name: str) -> bool:
    """Say whether a town bears a name: 鲁谷 → 鲁谷街道, but 天通苑 is neither 天通苑北 nor 南."""
    if town is None or not town.startswith(name):
        return False
    return town == name or town[len(name) :] in _TOWN_SUFFIXES
