"""The catalogue as compact JSON for a bundle; ``says`` lie apart, as few readers need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jiesu_nlp.catalogue.model import (
    Catalogue,
    Group,
    Leaf,
    LevelOneClass,
    Neighbour,
    RetiredLeaf,
)


def leaf_to_json(leaf: Leaf) -> dict[str, Any]:
    """Return a leaf without its ``says``, with the field names of the files."""
    return {
        "code": leaf.code,
        "name": leaf.name,
        "is": leaf.definition,
        "not": [[n.when, n.code] for n in leaf.neighbours],
        "types": list(leaf.types),
        "unit": leaf.unit,
        "with": list(leaf.co_units),
        "limit": leaf.limit,
        "basis": leaf.basis,
        "route": leaf.route,
    }


def _leaf(row: Mapping[str, Any], says: Sequence[str]) -> Leaf:
    return Leaf(
        code=row["code"],
        name=row["name"],
        definition=row["is"],
        neighbours=tuple(Neighbour(when, code) for when, code in row["not"]),
        types=tuple(row["types"]),
        unit=row["unit"],
        co_units=tuple(row["with"]),
        limit=row["limit"],
        basis=row["basis"],
        route=row["route"],
        says=tuple(says),
    )


def catalogue_to_json(catalogue: Catalogue) -> dict[str, Any]:
    """Return everything but the ``says``."""
    return {
        "version": catalogue.version,
        "title": catalogue.title,
        "classes": [[c.code, c.name, c.budget, c.scope, c.boundary] for c in catalogue.classes],
        "groups": [[g.code, g.name] for g in catalogue.groups],
        "leaves": [leaf_to_json(leaf) for leaf in catalogue.leaves],
        "retired": [
            [r.code, r.name, list(r.successors), r.since, r.why] for r in catalogue.retired
        ],
    }


def says_to_json(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the ``says`` by leaf code."""
    return {leaf.code: list(leaf.says) for leaf in catalogue.leaves}


def catalogue_from_json(
    data: Mapping[str, Any], says: Mapping[str, Sequence[str]] | None = None
) -> Catalogue:
    """Rebuild a catalogue; without ``says`` the leaves have none."""
    texts = says or {}
    return Catalogue(
        version=data["version"],
        title=data["title"],
        classes=tuple(LevelOneClass(*row) for row in data["classes"]),
        groups=tuple(Group(*row) for row in data["groups"]),
        leaves=tuple(_leaf(row, texts.get(row["code"], ())) for row in data["leaves"]),
        retired=tuple(
            RetiredLeaf(code, name, tuple(successors), since, why)
            for code, name, successors, since, why in data["retired"]
        ),
    )
