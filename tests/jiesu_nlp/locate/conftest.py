from pathlib import Path

import pytest

from jiesu_nlp.locate.gazetteer import read_places
from jiesu_nlp.locate.locator import Locator

PLACES = Path(__file__).parents[3] / "taxonomy" / "places"


@pytest.fixture(scope="session")
def gazetteer():
    return read_places(PLACES)


@pytest.fixture(scope="session")
def locator(gazetteer):
    return Locator(gazetteer)


@pytest.fixture
def tables(tmp_path):
    """A small city that a test may spoil."""
    files = {
        "districts.tsv": "code\tname\tshort\taliases\n110105\t朝阳区\t朝阳\t\n110108\t海淀区\t海淀\t\n",
        "towns.tsv": (
            "code\tname\tdistrict\tkind\taliases\trun_by\n"
            "110105026\t望京街道\t朝阳区\t街道\t\t\n"
            "110105019\t八里庄街道\t朝阳区\t街道\t\t\n"
            "110108005\t八里庄街道\t海淀区\t街道\t\t\n"
        ),
        "communities.tsv": (
            "code\tname\tshort\tkind\ttown_code\n"
            "110105026001\t南湖中园社区居委会\t南湖中园\t社区\t110105026\n"
        ),
        "areas.tsv": "name\taliases\tkind\tdistrict\ttown\tconfidence\n望京\t\tarea\t朝阳区\t望京街道\thigh\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path
