"""The verb ``jiesu catalogue import``: a table out, edited, in again, checked."""

import shutil

import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner

from jiesu_nlp import home
from jiesu_nlp.catalogue import read_catalogue, write_catalogue
from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import DataError, UsageError
from tests.jiesu_nlp.catalogue.test_store import small

RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path):
    write_catalogue(small(), tmp_path / "c")
    return tmp_path / "c"


def run(*args):
    return RUNNER.invoke(app, ["catalogue", *map(str, args)])


def rename(folder, name):
    """Export, give the class another name everywhere and return the table."""
    table = folder.parent / "t.xlsx"
    assert run("export", table, "--dir", folder).exit_code == 0
    book = load_workbook(table)
    for sheet, row in (("派单目录", 2), ("派单目录", 3), ("一级类", 2)):
        book[sheet].cell(row, 2).value = name
    book.save(table)
    return table


def test_an_edited_table_is_imported_and_its_counts_hold(folder):
    table = rename(folder, "市政设施")
    imported = run("import", table, "--version", '2027"a', "--dir", folder)
    assert imported.exit_code == 0, imported.output
    new = read_catalogue(folder)
    assert (new.version, new.classes[0].name) == ('2027"a', "市政设施")
    assert "数量" not in run("check", "--dir", folder).output


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_class_name_that_is_no_file_name_is_refused(folder, options):
    table = rename(folder, "市容/环卫")
    before = sorted(p.name for p in folder.iterdir())
    refused = run("import", table, "--version", "2", "--dir", folder, *options)
    assert isinstance(refused.exception, DataError)
    assert "市容/环卫" in str(refused.exception)
    assert sorted(p.name for p in folder.iterdir()) == before
    assert read_catalogue(folder) == small()


def test_nothing_is_imported_into_the_installed_program(folder, monkeypatch):
    table = rename(folder, "市政设施")
    installed = folder.parent / "installed" / "_taxonomy"
    shutil.copytree(folder, installed / "catalogue")
    monkeypatch.setattr(home, "_PACKAGED", installed)
    monkeypatch.setattr(home, "_is_checkout", lambda: False)
    monkeypatch.delenv("JIESU_TAXONOMY", raising=False)
    assert run("import", table, "--version", "2", "--dry-run").exit_code == 0
    refused = run("import", table, "--version", "2")
    assert isinstance(refused.exception, UsageError)
    assert "JIESU_TAXONOMY" in str(refused.exception)
    assert str(installed) in str(refused.exception)
    assert read_catalogue(installed / "catalogue") == small()
    # The way out that the message names.
    shutil.copytree(installed, folder.parent / "mine")
    monkeypatch.setenv("JIESU_TAXONOMY", str(folder.parent / "mine"))
    assert run("import", table, "--version", "2").exit_code == 0
    assert read_catalogue(folder.parent / "mine" / "catalogue").version == "2"
    assert read_catalogue(installed / "catalogue") == small()
