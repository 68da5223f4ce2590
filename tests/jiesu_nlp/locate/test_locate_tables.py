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
