"""Shared fixtures: one quickly trained bundle of the real taxonomy for the whole session."""

from __future__ import annotations

from pathlib import Path

import pytest

from jiesu_nlp import Dispatcher
from jiesu_nlp.bundle import Bundle, open_bundle
from jiesu_nlp.knowledge import Knowledge, read_knowledge
from training.cold_start import build_default_bundle
from training.low_rank import Recipe

ROOT = Path(__file__).resolve().parent.parent
TAXONOMY = ROOT / "taxonomy"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Bundle:
    """The whole catalogue, one epoch at low rank: seconds to train, good enough to behave."""
    path = tmp_path_factory.mktemp("models") / "quick"
    build_default_bundle(path, TAXONOMY, recipe=Recipe(rank=64, runs=1, epochs=1))
    return open_bundle(path)


@pytest.fixture(scope="session")
def dispatcher(bundle) -> Dispatcher:
    return Dispatcher.from_bundle(bundle)


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return read_knowledge(TAXONOMY)
