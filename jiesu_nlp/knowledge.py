"""All that people edit, read together: catalogue, units, places, rules, gates.

Read from ``taxonomy/`` when a bundle is built or data are checked, and from the bundle's snapshot
when tickets are answered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jiesu_nlp.bundle import Bundle, json_bytes
from jiesu_nlp.catalogue import Catalogue, read_catalogue
from jiesu_nlp.catalogue.snapshot import catalogue_from_json, catalogue_to_json, says_to_json
from jiesu_nlp.gates import GateBook, read_gates
from jiesu_nlp.locate.gazetteer import Gazetteer, read_places
from jiesu_nlp.route.rule_files import read_deadlines, read_rules
from jiesu_nlp.route.rules import RuleSet
from jiesu_nlp.route.units import UnitRegistry, read_units

CATALOGUE_FILE = "catalogue.json"
SAYS_FILE = "says.json"
UNITS_FILE = "units.json"
RULES_FILE = "rules.json"
GATES_FILE = "gates.json"


@dataclass(frozen=True)
class Knowledge:
    """The knowledge one bundle answers with."""

    catalogue: Catalogue
    units: UnitRegistry
    rules: RuleSet
    gates: GateBook
    places: Gazetteer

    def to_files(self) -> dict[str, bytes]:
        """Return the snapshot files of a bundle."""
        return {
            CATALOGUE_FILE: json_bytes(catalogue_to_json(self.catalogue)),
            SAYS_FILE: json_bytes(says_to_json(self.catalogue)),
            UNITS_FILE: json_bytes(self.units.to_json()),
            RULES_FILE: json_bytes(self.rules.to_json()),
            GATES_FILE: json_bytes(self.gates.to_json()),
            **self.places.to_files(),
        }

    def versions(self) -> dict[str, str]:
        """Return a version of each part: its stated one and a digest of its content."""
        files = self.to_files()

        def digest(*names: str) -> str:
            return hashlib.sha256(b"".join(files[n] for n in names)).hexdigest()[:8]

        places = tuple(self.places.to_files())
        return {
            "catalogue": f"{self.catalogue.version}+{digest(CATALOGUE_FILE, SAYS_FILE)}",
            "rules": digest(RULES_FILE, UNITS_FILE, GATES_FILE),
            "places": digest(*places),
        }


def read_knowledge(taxonomy: Path) -> Knowledge:
    """Read all of ``taxonomy/``.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    catalogue = read_catalogue(taxonomy / "catalogue")
    return Knowledge(
        catalogue=catalogue,
        units=read_units(taxonomy / "units"),
        rules=RuleSet(
            read_rules(taxonomy / "rules"), catalogue, deadlines=read_deadlines(taxonomy / "rules")
        ),
        gates=read_gates(taxonomy / "rules"),
        places=read_places(taxonomy / "places"),
    )


def knowledge_of(bundle: Bundle) -> Knowledge:
    """Read the snapshot of a bundle (without ``says``, which only training and browsing need)."""
    catalogue = catalogue_from_json(bundle.read_json(CATALOGUE_FILE))
    return Knowledge(
        catalogue=catalogue,
        units=UnitRegistry.from_json(bundle.read_json(UNITS_FILE)),
        rules=RuleSet.from_json(bundle.read_json(RULES_FILE), catalogue),
        gates=GateBook.from_json(bundle.read_json(GATES_FILE)),
        places=Gazetteer.from_bundle(bundle),
    )
