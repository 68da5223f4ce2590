"""The catalogue: model, files, checks, exchange with spreadsheets, comparison."""

from jiesu_nlp.catalogue.model import (
    Catalogue,
    Group,
    Leaf,
    LevelOneClass,
    Neighbour,
    RetiredLeaf,
)
from jiesu_nlp.catalogue.store import read_catalogue, write_catalogue

__all__ = [
    "Catalogue",
    "Group",
    "Leaf",
    "LevelOneClass",
    "Neighbour",
    "RetiredLeaf",
    "read_catalogue",
    "write_catalogue",
]
