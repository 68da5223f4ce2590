"""The gazetteer: names of districts, towns, communities, areas, roads and landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jiesu_nlp.bundle import Bundle, json_bytes
from jiesu_nlp.tables import read_table

PLACES_FILE = "places.json"


@dataclass(frozen=True)
class Gazetteer:
    """Names and what they stand for."""

    names: Mapping[str, tuple[tuple[str, str], ...]]

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        return {PLACES_FILE: json_bytes({k: list(v) for k, v in self.names.items()})}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Gazetteer:
        """Load from a bundle."""
        data = bundle.read_json(PLACES_FILE)
        return cls({k: tuple((d, t) for d, t in v) for k, v in data.items()})


def read_places(directory: Path) -> Gazetteer:
    """Read ``taxonomy/places/``."""
    names: dict[str, list[tuple[str, str]]] = {}
    for row in read_table(directory / "districts.tsv", ("name", "short")):
        names.setdefault(row["name"], []).append((row["name"], ""))
    for row in read_table(directory / "towns.tsv", ("name", "district")):
        names.setdefault(row["name"], []).append((row["district"], row["name"]))
    return Gazetteer({k: tuple(v) for k, v in names.items()})
