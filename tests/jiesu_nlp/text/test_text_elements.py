"""Times, owners and actors by example; all sentences are made up."""

import pytest

from jiesu_nlp.text.elements import find_elements


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("每天晚上10点开始", ["每天晚上10点"]),
        ("2024年5月1日下午3点停水", ["2024年5月1日下午3点"]),
        ("今年3月交房", ["今年3月"]),
        ("昨天和前天都没来", ["昨天", "前天"]),
        ("凌晨还在施工", ["凌晨"]),
        ("晚上十点到凌晨两点", ["晚上十点到凌晨两点"]),
        ("已经半年了没人管", ["已经半年了"]),
        ("每周六早上7:30摆摊", ["每周六早上7:30"]),
        ("周末两天", ["周末"]),
        ("3号楼2单元", []),
        ("单价12元", []),
    ],
)
def test_times(text, times):
    assert [x.value for x in find_elements(text).time] == times


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("自来水集团的井盖丢了", ["供水企业"]),
        ("锅炉房归热力公司管", ["供热企业"]),
        ("这栋楼是央产房", ["中央单位"]),
        ("部队大院门前的路", ["部队"]),
        ("首开管理的老楼", ["市属国企"]),
        ("产权单位找不到", ["产权单位"]),
        ("铁路局的围墙", ["铁路"]),
        ("武警医院门口", []),
        ("路灯不亮", []),
    ],
)
def test_owners(text, owners):
    assert [x.value for x in find_elements(text).owner] == owners


@pytest.mark.parametrize(
    ("text", "actors"),
    [
        ("楼下烧烤店油烟太大，物业不管", ["商户", "物业"]),
        ("物业不管，楼下烧烤店油烟太大", ["商户", "物业"]),
        ("向物业反映多次，楼上邻居还是半夜吵", ["邻居", "物业"]),
        ("物业公司乱收停车费", ["物业"]),
        ("学校门口有小贩摆摊", ["游商"]),
        ("我是商户，房东不退押金", ["房东"]),
        ("小区没有物业，垃圾没人清", []),
        ("开发商拖着不给房产证", ["开发商"]),
        ("培训机构跑路，不退费", ["培训机构"]),
        ("邻居遛狗不牵绳", ["邻居", "养犬人"]),
        ("工地半夜施工，城管说管不了", ["施工方", "政府部门"]),
        ("盼着主管单位早点来瞧瞧", []),
    ],
)
def test_actors(text, actors):
    assert [x.value for x in find_elements(text).actor] == actors
