"""Malformed tables name file, line and field; the import keeps all or nothing."""

import pytest

from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.locate.audit import collisions, repeated_names
from jiesu_nlp.locate.gazetteer import read_places
from jiesu_nlp.locate.importer import import_addresses, read_mapping
from jiesu_nlp.locate.locator import Locator
from jiesu_nlp.locate.place_tables import read_place_tables


@pytest.mark.parametrize(
    ("file", "line", "field"),
    [
        ("areas.tsv", "国贸\t\tarea\t朝陽区\t\thigh", "district"),
        ("areas.tsv", "国贸\t\tarea\t朝阳区\t建外街\thigh", "town"),
        ("areas.tsv", "国贸\t\tplanet\t朝阳区\t\thigh", "kind"),
        ("areas.tsv", "国贸\t\tarea\t朝阳区\t\tsure", "confidence"),
        ("areas.tsv", "\t\tarea\t朝阳区\t\thigh", "name"),
        ("towns.tsv", "110105x26\t东湖街道\t朝阳区\t街道\t\t", "code"),
        ("towns.tsv", "110105027\t东湖街道\t朝陽区\t街道\t\t", "district"),
        ("towns.tsv", "110105027\t望京街道\t朝阳区\t街道\t\t", "name"),
        ("towns.tsv", "110105027\t东湖街道\t朝阳区\t街道\t\t外区", "run_by"),
        ("districts.tsv", "11\t丰台区\t丰台\t", "code"),
        ("districts.tsv", "110106\t丰台区\t\t", "short"),
        ("communities.tsv", "110105026002\t某社区\t某社区\t社区\t110105999", "town_code"),
        ("communities.tsv", "110105026002\t某社区\t某社区\t居委\t110105026", "kind"),
    ],
)
def test_malformed_row(tables, file, line, field):
    path = tables / file
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    number = path.read_text(encoding="utf-8").count("\n")
    with pytest.raises(DataError) as caught:
        read_places(tables)
    assert caught.value.path == path
    assert caught.value.line == number
    assert caught.value.field == field


def test_required_and_optional_tables(tables):
    for name in ("areas.tsv", "communities.tsv"):
        (tables / name).unlink()
    assert Locator(read_places(tables)).locate("望京街道").place().town == "望京街道"
    (tables / "towns.tsv").unlink()
    with pytest.raises(DataError):
        read_places(tables)


def test_audit(tables):
    areas = tables / "areas.tsv"
    text = areas.read_text(encoding="utf-8")
    areas.write_text(text + "望京\t\tarea\t朝阳区\t\thigh\n", encoding="utf-8")
    read = read_place_tables(tables)
    assert len(repeated_names(read)) == 1
    assert [c.spelling for c in collisions(read_places(tables))] == ["八里庄街道"]


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "live"),
    [
        ("", "", True),
        ("2020-01-01", "2099-12-31", True),
        ("", "2020-01-01", False),
        ("2099-01-01", "", False),
    ],
)
def test_towns_and_districts_live_while_they_are_in_force(tables, valid_from, valid_to, live):
    for name, row in (
        ("towns.tsv", "110105027\t东湖街道\t朝阳区\t街道\t\t\t"),
        ("districts.tsv", "110106\t丰台区\t丰台\t\t"),
    ):
        path = tables / name
        head, rest = path.read_text("utf-8").split("\n", 1)
        lines = f"{head}\tvalid_from\tvalid_to\n{rest}{row}{valid_from}\t{valid_to}\n"
        path.write_text(lines, "utf-8")
    read = read_place_tables(tables)
    assert ("东湖街道" in {t.name for t in read.towns}) is live
    assert ("丰台区" in {d.name for d in read.districts}) is live


@pytest.mark.parametrize(
    ("dates", "field"),
    [
        ("2099\t", "valid_from"),
        ("\t2026/1/1", "valid_to"),
        ("2026-02-01\t2026-01-01", "valid_from"),
    ],
)
def test_dates_of_validity_are_checked(tables, dates, field):
    path = tables / "districts.tsv"
    path.write_text(
        f"code\tname\tshort\taliases\tvalid_from\tvalid_to\n110105\t朝阳区\t朝阳\t\t{dates}\n",
        "utf-8",
    )
    with pytest.raises(DataError) as caught:
        read_place_tables(tables)
    assert (caught.value.line, caught.value.field) == (2, field)


GOOD = "name,district,town,community,kind,lon,lat\n星河苑,朝阳区,望京街道,南湖中园社区,小区,116.47,39.99\n星海大街,海淀,,,,,\n"


def run(tables, path, **options):
    return import_addresses(path, tables, read_place_tables(tables), **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_import_and_use(tables, encoding):
    path = tables / "库.csv"
    path.write_bytes(GOOD.encode(encoding))
    result = run(tables, path)
    assert (result.rows, result.accepted, result.errors) == (2, 2, 0)
    locator = Locator(read_places(tables))
    place = locator.locate("星河苑小区电梯坏了").place()
    assert (place.town, place.community) == ("望京街道", "南湖中园社区")
    assert locator.locate("星海大街有个坑").place().district == "海淀区"


def test_import_xlsx(tables):
    from openpyxl import Workbook

    book = Workbook()
    for line in GOOD.splitlines():
        book.active.append(line.split(","))
    book.save(tables / "库.xlsx")
    assert run(tables, tables / "库.xlsx").accepted == 2


def test_row_numbers_of_a_workbook_are_those_that_excel_shows(tables):
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    for row, cells in ((3, ["名称", "区"]), (4, ["好家园", "朝阳区"]), (9, ["坏家园", "火星区"])):
        for column, value in enumerate(cells, start=1):
            sheet.cell(row, column, value)
    sheet.row_dimensions[1_000_000].height = 20
    book.save(tables / "库.xlsx")
    result = run(tables, tables / "库.xlsx", dry_run=True)
    assert (result.rows, result.accepted) == (2, 1)
    assert "第 9 行" in result.samples["错误"][0]


def test_import_keeps_all_or_nothing(tables):
    path = tables / "库.csv"
    path.write_text(GOOD, encoding="utf-8")
    run(tables, path)
    before = (tables / "imported.tsv").read_bytes()
    path.write_text(
        GOOD + "坏行,火星区,,,,,\n,朝阳区,,,,,\n坏点,朝阳区,,,,abc,1\n坏镇,朝阳区,没有镇,,,,\n",
        "utf-8",
    )
    report = tables / "问题.csv"
    result = run(tables, path, report=report)
    assert result.errors == 4
    assert result.written is None
    assert (tables / "imported.tsv").read_bytes() == before
    assert "第 4 行" in result.samples["错误"][0]
    assert len(report.read_text("utf-8-sig").splitlines()) == 5
    assert not list(tables.glob(".imported-*"))
    assert run(tables, path, skip_errors=True).written is not None


def test_import_reports_duplicates_and_conflicts(tables):
    path = tables / "库.csv"
    path.write_text(GOOD + "星河苑,朝阳区,望京街道,,,,\n星河苑,朝阳区,八里庄街道,,,,\n", "utf-8")
    result = run(tables, path, dry_run=True)
    assert (result.duplicates, result.conflicts, result.written) == (1, 1, None)
    assert not (tables / "imported.tsv").exists()


def test_namesakes_of_two_towns_are_kept_and_pass_the_audit(tables):
    path = tables / "库.csv"
    namesakes = "星河苑,朝阳区,八里庄街道,,小区,,\n"
    path.write_text(
        GOOD + namesakes * 2 + "星河苑,朝阳区,望京街道,,,,\n星河苑,朝阳区,,,,,\n" * 2, "utf-8"
    )
    result = run(tables, path)
    assert (result.accepted, result.duplicates, result.conflicts) == (4, 4, 2)
    said = [line.split(" ")[1] for line in result.samples["重复"]]
    assert said == ["5", "6", "8", "9"], said
    assert "与第 4 行相同" in result.samples["重复"][0]
    assert "与第 2 行相同" in result.samples["重复"][1]
    assert repeated_names(read_place_tables(tables)) == []


def test_a_row_repeated_in_the_imported_table_is_found(tables):
    (tables / "imported.tsv").write_text(
        "name\tkind\tdistrict\ttown\n"
        "星河苑\tcompound\t朝阳区\t望京街道\n"
        "星河苑\tcompound\t朝阳区\t八里庄街道\n"
        "星河苑\tcompound\t朝阳区\t八里庄街道\n",
        "utf-8",
    )
    (line,) = repeated_names(read_place_tables(tables))
    assert "第 4 行" in line and "第 3 行" in line


def test_the_heading_may_stand_below_blank_rows(tables):
    path = tables / "库.csv"
    path.write_text(f"\n\n{GOOD}坏行,火星区,,,,,\n", "utf-8")
    result = run(tables, path)
    assert result.rows == 3
    assert "第 6 行" in result.samples["错误"][0]


def test_import_mapping(tables):
    path, mapping = tables / "库.csv", tables / "列.yaml"
    path.write_text("标题,哪个区\n星河苑,朝阳\n", "utf-8")
    with pytest.raises(DataError, match="缺少列"):
        run(tables, path)
    mapping.write_text("name: 标题\ndistrict: 哪个区\n", "utf-8")
    assert run(tables, path, mapping=read_mapping(mapping)).accepted == 1
    mapping.write_text("nam: 标题\n", "utf-8")
    with pytest.raises(DataError, match="不认识的字段"):
        read_mapping(mapping)


def test_import_refuses_what_is_no_table(tables):
    for name, data in (("空.csv", b""), ("坏.csv", b"\xff\xfe\x00\x81"), ("坏.xlsx", b"no")):
        (tables / name).write_bytes(data)
        with pytest.raises(DataError):
            run(tables, tables / name)
    with pytest.raises(UsageError):
        run(tables, tables / "没有.csv")
    (tables / "x.pdf").write_bytes(b"")
    with pytest.raises(UsageError):
        run(tables, tables / "x.pdf")
