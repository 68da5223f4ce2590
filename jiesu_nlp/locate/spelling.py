"""Spellings: which other forms of a name people write, and which of them need words around."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from jiesu_nlp.locate.gazetteer import KeyFlag

# Names that are ordinary words, parts of longer words, or places in every second city of China.
COMMON_WORDS: Final = frozenset(
    """
    平房 沙滩 天桥 花市 前门 温泉 果园 古城 城关 西山 永定 大屯 马坊 城子 空港 金谷 北苑 王府 人大 北大 湾子
    丽都 西苑 嘉园 渤海 小关 小营 化工 高井 满井 冷泉 上岸 小园 石厂 顺义 昌平 国展 星城 永宁 清源 万盛 群芳
    天坛 东风 新村 新镇 永丰 永顺 香山 老山 鼓楼 红莲 动物园 展览馆 世界公园 环保园 航天城 开发区 高教园区
    大学城 科技园 体育馆 北京站 双合 北宫 王平 大台 枣园 万柳 万安 茶棚 平安里 和平街 和平里 安定 和义 东铁
    景泰 沙河 清水 石门 北站 南站 西站 东站 回天 亚奥 首钢 总部基地 黄村 西村 东村 大村 双桥 天桥 黄庄 红庙 稻田
    燕山 平谷 延庆 密云 怀柔 房山 大兴 通州 朝阳 德胜 荣华 博兴 滨河 通运 文景 宛平 大峪 军庄 斋堂 雁翅 长阳
    长沟 石楼 张坊 青龙湖 拱辰 中仓 玉桥 西集 宋庄 台湖 潞城 杨镇 李桥 南彩 木林 张镇 百善 兴寿 流村 延寿 南口 崔村
    礼贤 采育 安定 旧宫 瀛海 庙城 北房 杨宋 桥梓 怀北 宝山 渔阳 峪口 高岭 北庄 石城 康庄 旧县 四海 井庄 香营
    杨庄 苏庄 小屯 大井 田村 冯村 皮村 苇沟 商务区 商务中心区 崇文 宣武 生物医药基地 实验小学 实验中学
    中心小学 第一小学 第一中学 第二小学 第三小学 人民公园 儿童公园 中山公园 新华书店 人民医院 中医院 中医医院
    妇幼保健院 妇幼 红旗 光明 团结 建设 新建 中心区 北区 南区 东区 西区 前进 胜利 向阳 新华 和平 幸福 解放 人民
    二环 三环 四环 五环 六环 美食街 商业街 步行街 东大街 西大街 南大街 北大街 迎宾路 站前路 站前街 车站路 滨河路
    人民路 建设路 解放路 和平路 胜利路 光明路 新华路 新华街 文化路 中山街 府前街 环城路 南环路 北环路 东环路 西环路
    振兴路 创新路 政府街 学院路 幸福路 五一路 长江路 黄河路 工业路 科技路 富强路 团结路 红旗路 平安路 永安路 城关
    中央公园 体育公园 湿地公园 森林公园 滨河公园 文化广场 人民广场 万达广场 大悦城 吾悦广场 世纪广场 购物公园
    家乐福 沃尔玛 物美 永辉 山姆 麦德龙 宜家 会议中心 体育中心 体育场 图书馆 文化馆 博物馆 科技馆 少年宫 大剧院
    工人文化宫 汽车站 客运站 火车站 公交总站 长途汽车站 百货大楼 新世界 万象城 银泰 凯德 合生汇 二中 三中 四中
    五中 六中 七中 八中 九中 十中 一中 联大 二院 三院 一附院 附属医院 肿瘤医院 口腔医院 儿童医院 传染病医院
    """.split()
)

# Of these, those that citizens use as plain words all the time (住平房, 从前门上车, 泡温泉).
HARD_WORDS: Final = frozenset(
    """
    平房 沙滩 天桥 花市 前门 温泉 果园 古城 城关 新村 新镇 西山 永定 空港 王府 人大 北大 上岸 小园 动物园 化工 东风
    安定 清水 石门 北站 南站 西站 东站 首钢 双合 稻田 四海 石城 宝山 北庄 旧县 文景 中心区 北区 南区 东区 西区 前进
    胜利 向阳 新华 和平 幸福 解放 人民 红旗 光明 团结 建设 新建 开发区 高教园区 大学城 科技园 体育馆 展览馆 商务区
    二中 三中 四中 五中 六中 七中 八中 九中 十中 一中 联大 二院 三院 一附院 附属医院 二环 三环 四环 五环 六环 大台
    实验小学 实验中学 中心小学 第一小学 第一中学 第二小学 第三小学 人民公园 儿童公园 中山公园 新华书店 人民医院
    中医院 中医医院 妇幼保健院 妇幼 步行街 美食街 商业街 体育中心 体育场 图书馆 文化馆 博物馆 科技馆 少年宫 大剧院
    会议中心 汽车站 客运站 火车站 公交总站 长途汽车站 百货大楼 新世界 儿童医院 口腔医院 肿瘤医院 传染病医院
    中央公园 体育公园 湿地公园 森林公园 滨河公园 文化广场 人民广场 世纪广场 购物公园 工人文化宫 崇文 宣武 香山
    """.split()
)

_ROAD_END: Final = re.compile("(?:路|街|大街|胡同|条|巷|道|桥|站|门)$")
_VILLAGE_END: Final = re.compile("(?:庄|营|屯|堡|峪|坟|务|寺|台|店|府|沟|岭|井|泉|窑|坨|垡|子)$")
_GENERIC_COMMUNITY: Final = re.compile(
    "^[东西南北中前后]?(?:[一二三四五六七八九十]+[街区里村]|[东西南北中][里区街村关]|新[村街区建]|花园|家园|中心|光明|向阳"
    "|永安|桃园|滨河|幸福|和平|团结|新华|建设|胜利|红旗|新兴|朝阳|前进|振兴|商务|果园|学院|车站|机关|生活)"
)
_GENERIC_INSTITUTION: Final = re.compile(
    "(?:眼科|口腔|肿瘤|儿童|妇产|妇儿|骨科|平安|实验|中心|人民|中医|妇幼|胸科|肛肠|皮肤病|整形|康复|第[一二三四五六七八九十]+"
    "|[一二三四五六七八九十]{1,3}|红十字|武警|希望|育才|新华|光明|和平|体育|儿童|中山|人民|文化|森林|滨河|中央)"
    "(?:医院|小学|中学|公园|广场|幼儿园|中|小)"
)
_DISTRICT_HEAD: Final = re.compile(
    "^(?:东城|西城|朝阳|丰台|石景山|海淀|门头沟|房山|通州|顺义|昌平|大兴|怀柔|平谷|密云|延庆)"
)


def trust(name: str, *, weak: bool = False) -> KeyFlag:
    """Return how far a spelling may be trusted on its own.

    Parameters
    ----------
    name
        The spelling.
    weak
        Whether it is known to be weak anyway.
    """
    if name in HARD_WORDS or len(name) < 2:
        return KeyFlag.WEAK | KeyFlag.HARD
    weak = weak or name in COMMON_WORDS or _GENERIC_INSTITUTION.fullmatch(name) is not None
    return KeyFlag.WEAK if weak else KeyFlag.PLAIN


def without_district(name: str) -> str | None:
    """Return what follows the short name of a district in a composed name (密云十里堡 → 十里堡)."""
    match = _DISTRICT_HEAD.match(name)
    rest = name[match.end() :] if match is not None else ""
    return rest if len(rest) >= 2 else None


def community_spellings(short: str, kind: str) -> Iterator[tuple[str, bool]]:
    """Yield the spellings of a community or village and whether each is weak.

    Parameters
    ----------
    short
        Short name of the table: ``智德社区``, ``多福巷``, ``辛庄村``.
    kind
        ``社区``, ``村`` or ``生活区``.
    """
    generic = _GENERIC_COMMUNITY.match(short) is not None
    if kind == "村":
        yield short, generic or len(short) < 3
        base = short.removesuffix("村")
        if len(base) >= 3 and not generic and _VILLAGE_END.search(base):
            yield base, True
        return
    base = short.removesuffix("社区")
    if base == short:
        yield short, generic or trust(short) != KeyFlag.PLAIN
    else:
        yield short, generic
        # A road or gate of that name is another, longer thing.
        if len(base) >= 3 and not generic and _ROAD_END.search(base) is None:
            yield base, True
    if not base.endswith(("小区", "村", "路", "街")):
        yield base + "小区", generic or len(base) < 3
    if base == short and not base.endswith(("小区", "社区")):
        yield base + "社区", generic or len(base) < 3


def station_spellings(name: str) -> Iterator[tuple[str, bool]]:
    """Yield the spellings of a station: with 站 it is plain even where the bare name is a word."""
    yield name, False
    if not name.endswith("站"):
        yield name + "站", len(name) < 2
        yield name + "地铁站", False
        yield name + "地铁", False
        yield name + "城铁站", False
