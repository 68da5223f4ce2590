"""The gazetteer: every known name and what it may stand for, in columns that load fast.

A *zone* is where an entry lies: a town by its row (``>= 0``) or a whole district as ``~row``
(``< 0``). An *entry* is one place of one table; a *key* is one spelling that may stand for several
entries. Keys are what the automaton looks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Final

from jiesu_nlp.bundle import Bundle, json_bytes

PLACES_FILE: Final = "places.json"
OVERLAY_DISTRICT: Final = "北京经济技术开发区"

ENTRY_KINDS: Final = (
    # Administrative levels and colloquial areas say where, not what kind of place it is.
    *("district", "town", "area", "community"),
    # Kinds of the tables that several values of PlaceKind share.
    *("station", "bridge", "alley"),
    # The values of PlaceKind.
    *("compound", "street", "municipal_road", "highway", "expressway", "village", "river"),
    *("construction", "campus", "hospital", "shop", "market", "transit", "hub", "park", "scenic"),
    *("office", "farmland", "unknown"),
)
KIND_ROW: Final = {kind: row for row, kind in enumerate(ENTRY_KINDS)}


class KeyFlag(IntFlag):
    """How far a spelling may be trusted on its own."""

    PLAIN = 0
    # An ordinary word too (平房, 前门): only with words around it that speak of a place.
    WEAK = 1
    # The short name of a district (朝阳): likewise.
    SHORT_DISTRICT = 2
    # The city itself: no place yet, but what follows is in Beijing.
    CITY = 4
    # A place elsewhere: governs what follows.
    FOREIGN = 8
    # Contains a name but is none (朝阳产业).
    NOT_PLACE = 16
    # With WEAK: so common a word that only what follows can make it a place (温泉镇, 前门大街).
    HARD = 32
    # Only beside a district or town that fits: a name with a qualifier, or a doubtful row.
    CONTEXT = 64


@dataclass(frozen=True, slots=True)
class Town:
    """A street office or town: ``district`` handles it, ``coded`` is the district of its code."""

    name: str
    district: int
    coded: int


@dataclass(frozen=True)
class Gazetteer:
    """Districts, towns, entries and keys; see the module for the meaning of zones.

    Attributes
    ----------
    names, kinds, zones, weights
        One value per entry: its name in the table, row of ``ENTRY_KINDS``, zones, and prior weight
        (how likely a bare mention means it, times how sure the table is).
    communities
        Name of the community by entry, where the entry is or lies in exactly one.
    keys, flags, rows
        One value per key: the spelling, its :class:`KeyFlag` and the entries it may stand for.
    """

    districts: tuple[str, ...]
    towns: tuple[Town, ...]
    names: Sequence[str]
    kinds: Sequence[int]
    zones: Sequence[Sequence[int]]
    weights: Sequence[float]
    communities: dict[int, str]
    keys: Sequence[str]
    flags: Sequence[int]
    rows: Sequence[Sequence[int]]

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        return {
            PLACES_FILE: json_bytes(
                {
                    "districts": self.districts,
                    "towns": [(t.name, t.district, t.coded) for t in self.towns],
                    # One string of many lines decodes faster than a list of many strings.
                    "names": "\n".join(self.names),
                    "kinds": list(self.kinds),
                    "zones": [list(z) for z in self.zones],
                    "weights": list(self.weights),
                    "communities": [list(item) for item in self.communities.items()],
                    "keys": "\n".join(self.keys),
                    "flags": list(self.flags),
                    "rows": [list(r) for r in self.rows],
                }
            )
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Gazetteer:
        """Load from a bundle."""
        data = bundle.read_json(PLACES_FILE)
        return cls(
            districts=tuple(data["districts"]),
            towns=tuple(Town(name, district, coded) for name, district, coded in data["towns"]),
            names=data["names"].split("\n") if data["names"] else [],
            kinds=data["kinds"],
            zones=data["zones"],
            weights=data["weights"],
            communities=dict(data["communities"]),
            keys=data["keys"].split("\n") if data["keys"] else [],
            flags=data["flags"],
            rows=data["rows"],
        )

    def meet(self, zone: int, other: int) -> int | None:
        """Return the narrower of two zones if they can be the same place, else ``None``."""
        if zone == other:
            return zone
        if zone >= 0:
            if other >= 0:
                return None
            town = self.towns[zone]
            return zone if ~other in (town.district, town.coded) else None
        if other >= 0:
            return self.meet(other, zone)
        # The development zone lies across the borders of the districts around it.
        overlay = len(self.districts) - 1
        if self.districts[overlay] == OVERLAY_DISTRICT:
            around = (self.districts.index(n) for n in ("大兴区", "通州区") if n in self.districts)
            if ~zone == overlay and ~other in around:
                return zone
            if ~other == overlay and ~zone in around:
                return other
        return None

    def district_of(self, zone: int) -> str:
        """Return the district that handles a zone."""
        return self.districts[self.towns[zone].district if zone >= 0 else ~zone]

    def town_of(self, zone: int) -> str | None:
        """Return the town of a zone, ``None`` for a whole district."""
        return self.towns[zone].name if zone >= 0 else None


def read_places(directory: Path) -> Gazetteer:
    """Read ``taxonomy/places/``.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    # Here, because the builder needs the classes above.
    from jiesu_nlp.locate.builder import build_gazetteer  # noqa: PLC0415
    from jiesu_nlp.locate.place_tables import read_place_tables  # noqa: PLC0415

    return build_gazetteer(read_place_tables(directory))
