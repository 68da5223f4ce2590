from dataclasses import replace

import pytest

from jiesu_nlp.errors import DataError
from jiesu_nlp.locate.gazetteer import OVERLAY_DISTRICT
from jiesu_nlp.route.checks import check_units, town_pairs
from jiesu_nlp.route.units import RegisteredUnit, UnitRegistry, read_units
from jiesu_nlp.vocabulary import UNIT_CLASSES

HEADER = "code\tname\tshort\tclass\tlevel\tparent\tarea\taliases\tvalid_from\tvalid_to\n"
TOWN = "U-1\t东城区景山街道办事处\t景山街道\t街道乡镇\ttown\t\t东城区/景山街道\t\t\t\n"


def test_every_class_resolves_in_every_district(knowledge):
    for unit_class in UNIT_CLASSES:
        for district in knowledge.places.districts:
            if unit_class != "街道乡镇":
                unit = knowledge.units.find(unit_class, district)
                assert unit is not None, (unit_class, district)
                assert unit.unit_class == unit_class


def test_every_town_has_its_own_office_and_no_other(knowledge):
    offices = [u for u in knowledge.units.units if u.unit_class == "街道乡镇"]
    assert len(offices) == 343
    areas = {u.area[0] for u in offices}
    pairs = {f"{d}/{t}" for d, t in town_pairs(knowledge.places)}
    assert areas <= pairs
    assert len(pairs - areas) == 5, "only the functional zones have no office"
    for unit in offices:
        district, town = unit.area[0].split("/")
        assert unit.short == town
        assert unit.name.startswith(district)
        ending = "办事处" if town.endswith(("街道", "地区")) else "人民政府"
        assert unit.name.endswith(ending)


def test_the_registry_is_sound(knowledge):
    assert len(knowledge.units) > 1000
    assert list(check_units(knowledge.units, knowledge.places)) == []
    assert not any(u.name.endswith(("社区", "居委会", "村委会")) for u in knowledge.units.units)
    names = [u.name for u in knowledge.units.units]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("unit_class", "district", "name"),
    [
        ("农业农村", "东城区", "东城区商务局（动物防疫与农产品）"),
        ("交通", "朝阳区", "朝阳区城市管理委员会（朝阳区交通委员会）"),
        ("交通", "通州区", "通州区交通局"),
        ("住建房管", "西城区", "西城区住房和城市建设委员会"),
        ("城管执法", OVERLAY_DISTRICT, "北京经济技术开发区综合执法局"),
        ("供电企业", "东城区", "国网北京市电力公司城区供电公司"),
        ("供电企业", "西城区", "国网北京市电力公司城区供电公司"),
    ],
)
def test_districts_differ(knowledge, unit_class, district, name):
    assert knowledge.units.find(unit_class, district).name == name


def test_without_a_district_the_operator_is_asked_unless_it_is_a_policy_question(knowledge):
    assert knowledge.units.find("教育") is None
    assert knowledge.units.find("教育", citywide=True).name == "北京市教育委员会"
    assert knowledge.units.find("海关").code == "U-11-HG"
    assert knowledge.units.find("供热企业").name == "北京市热力集团有限责任公司"


@pytest.mark.parametrize(
    ("unit_class", "text", "short"),
    [
        ("轨道企业", "地铁17号线车厢太冷", "京港地铁"),
        ("轨道企业", "地铁7号线车厢太冷", "北京地铁"),
        ("轨道企业", "十九号线不报站", "北京轨道运营"),
        ("通信运营商", "移动宽带断了两天", "北京移动"),
        ("通信运营商", "10010 客服不作为", "北京联通"),
        ("民航铁路", "航班延误不给赔", "民航华北局"),
    ],
)
def test_the_enterprise_a_text_names_is_found(knowledge, unit_class, text, short):
    assert knowledge.units.named(unit_class, text).short == short


def test_a_named_enterprise_must_serve_the_district(knowledge):
    assert knowledge.units.named("供水企业", "顺义自来水又停水", "朝阳区") is None
    assert knowledge.units.named("供水企业", "顺义自来水又停水", "顺义区") is not None
    assert knowledge.units.named("教育", "移动公司") is None


def test_units_out_of_force_are_known_but_not_found():
    old = RegisteredUnit("A", "旧局", "旧局", "水务", "city", valid_to="2020-01-01")
    new = RegisteredUnit("B", "新局", "新局", "水务", "city", valid_from="2020-01-02")
    registry = UnitRegistry([old, new], on="2024-05-01")
    assert registry.find("水务").code == "B"
    assert registry.by_code["A"].name == "旧局"
    assert UnitRegistry([old, new], on="2019-05-01").find("水务").code == "A"
    assert UnitRegistry.from_json(registry.to_json()).units == registry.units


def test_a_firm_out_of_force_leaves_no_choice():
    one, other = (RegisteredUnit(c, c, c, "供水企业", "enterprise") for c in "甲乙")
    assert UnitRegistry([one, other]).has_choice(one)
    gone = replace(other, valid_to="2020-01-01")
    assert UnitRegistry([one, gone], on="2020-01-01").has_choice(one)
    assert not UnitRegistry([one, gone], on="2020-01-02").has_choice(one)


def successors(before, after):
    rows = [
        ("U-1", "旧局", "", before),
        ("U-2", "新局", after, ""),
    ]
    return HEADER + "".join(
        f"{code}\t{name}\t\t水务\tcity\t\t*\t\t{start}\t{end}\n" for code, name, start, end in rows
    )


def test_a_successor_takes_over_the_area(tmp_path):
    (tmp_path / "40.tsv").write_text(successors("2025-12-31", "2026-01-01"), "utf-8")
    units = read_units(tmp_path).units
    assert UnitRegistry(units, on="2025-12-31").find("水务").code == "U-1"
    assert UnitRegistry(units, on="2026-01-01").find("水务").code == "U-2"


@pytest.mark.parametrize(
    ("before", "after"), [("", "2026-01-01"), ("2026-01-01", "2026-01-01"), ("2025-12-31", "")]
)
def test_two_units_never_serve_an_area_on_one_day(tmp_path, before, after):
    (tmp_path / "40.tsv").write_text(successors(before, after), "utf-8")
    with pytest.raises(DataError, match="旧局"):
        read_units(tmp_path)


def test_the_area_of_a_unit_of_the_past_need_not_exist(knowledge):
    gone = RegisteredUnit("X", "旧街道办", "旧街道", "街道乡镇", "town", area=("东城区/旧街道",))
    assert [f.rule for f in check_units(UnitRegistry([gone]), knowledge.places)] == ["X"]
    past = UnitRegistry([replace(gone, valid_to="2020-01-01")])
    assert list(check_units(past, knowledge.places)) == []


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        (TOWN.replace("街道乡镇", "街道"), "class", "单位类别"),
        (TOWN.replace("\ttown\t", "\t村\t"), "level", "层级"),
        (TOWN.replace("景山街道办事处", "").replace("东城区\t", "\t", 1), "name", "不能为空"),
        (TOWN + TOWN, "code", "重复"),
        (TOWN + TOWN.replace("U-1", "U-2").replace("办事处", "办"), "area", "重叠"),
        (TOWN.replace("\t\t东城区/", "\tU-9\t东城区/"), "parent", "不存在"),
        (TOWN.replace("\t\t\t\n", "\t\t2024/1/1\t\n"), "valid_from", "2026-01-31"),
        (TOWN.replace("\t\t\t\n", "\t\t2024-02-01\t2024-01-01\n"), "valid_from", "晚于"),
        (TOWN.replace("景山街道办事处", "魏家社区"), "name", "第十七条"),
    ],
)
def test_bad_rows_are_refused_with_file_line_and_remedy(tmp_path, row, field, said):
    (tmp_path / "20-坏.tsv").write_text(HEADER + row, "utf-8")
    with pytest.raises(DataError) as caught:
        read_units(tmp_path)
    assert caught.value.field == field
    assert caught.value.line is not None and caught.value.line > 1
    assert "20-坏.tsv" in str(caught.value)
    assert said in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="没有单位表"):
        read_units(tmp_path)


def test_an_alias_never_takes_a_name_from_the_unit_that_bears_it():
    one = RegisteredUnit(
        "U-1", "甲局", "甲", "水务", "city", None, ("*",), ("乙局", "丙"), None, None
    )
    two = RegisteredUnit("U-2", "乙局", "乙", "交通", "city", None, ("*",), ("丙",), None, None)
    registry = UnitRegistry([one, two])
    assert registry.classes_of("乙局") == ("交通",)
    assert registry.classes_of("甲") == ("水务",)
    assert set(registry.classes_of("丙")) == {"水务", "交通"}
    assert registry.classes_of("丁局") == ()
