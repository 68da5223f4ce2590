"""What is worth knowing about the tables beyond plain errors: collisions and doubtful rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

from jiesu_nlp.locate.gazetteer import ENTRY_KINDS, Gazetteer
from jiesu_nlp.locate.place_tables import IMPORTED, PlaceTables


@dataclass(frozen=True, slots=True)
class Collision:
    """A spelling that stands for places in several districts."""

    spelling: str
    # Name, kind and district of each place.
    places: tuple[tuple[str, str, str], ...]


def repeated_names(tables: PlaceTables) -> list[str]:
    """Return a Chinese line for every name that one table lists twice in one district.

    An imported library may hold namesakes in several towns of a district: there, twice in one town.
    """
    seen: dict[tuple[str, str, str, str], int] = {}
    lines: list[str] = []
    for row in tables.named:
        towns = row.towns if row.table == IMPORTED else ()
        for district, town in product(row.districts, towns or ("",)):
            first = seen.setdefault((row.table, row.name, district, town), row.line)
            if first != row.line:
                lines.append(
                    f"{row.table}.tsv 第 {row.line} 行“{row.name}”与第 {first} 行重复（{district}{town}）"
                )
                break
    return lines


def collisions(gazetteer: Gazetteer) -> list[Collision]:
    """Return the spellings that stand for places in several districts, most places first."""
    found: list[Collision] = []
    for key, rows in enumerate(gazetteer.rows):
        if len(rows) < 2:
            continue
        districts = [{gazetteer.district_of(z) for z in gazetteer.zones[r]} for r in rows]
        # A road through two districts is no collision; a road here and a village there is.
        apart = any(not a & b for i, a in enumerate(districts) for b in districts[:i])
        if apart:
            places = {
                (gazetteer.names[r], ENTRY_KINDS[gazetteer.kinds[r]], district)
                for r, own in zip(rows, districts, strict=True)
                for district in own
            }
            found.append(Collision(gazetteer.keys[key], tuple(sorted(places))))
    found.sort(key=lambda c: (-len(c.places), c.spelling))
    return found


def entry_counts(gazetteer: Gazetteer) -> dict[str, int]:
    """Return how many entries there are of each kind."""
    counts = Counter(ENTRY_KINDS[k] for k in gazetteer.kinds)
    return dict(counts.most_common())
