"""The kind of place (场所类型): from the entry that was found and from cue words around it.

What is wanted is the place where the *matter* is: 小区对面的工地 is the building site. A cue that is
only a landmark for another (对面, 旁边, 门口 …) therefore counts little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from jiesu_nlp.locate.gazetteer import ENTRY_KINDS
from jiesu_nlp.suggestion import Span
from jiesu_nlp.text.matcher import WordMatcher
from jiesu_nlp.vocabulary import PlaceKind

# Kind, points, words. 1 is a hint, 2 a clear word, 3 the thing itself.
_CUES: Final[tuple[tuple[PlaceKind, float, str], ...]] = (
    (PlaceKind.COMPOUND, 2.4, "小区 楼道 单元门 单元 地库 地下车库 家属院 居民楼 楼栋 号楼 楼上 楼下 小区里 小区内 院内 楼顶 门禁 业委会"),
    (PlaceKind.COMPOUND, 1.5, "物业 业主 邻居 住户 公租房 回迁房 单元楼 家里 室内 卧室 厨房 客厅 阳台 暖气 供暖 防水 楼房 电梯 老楼 家园 入户 房本 群租 隔断"),
    (PlaceKind.VILLAGE, 2.4, "村委会 村里 村内 我村 本村 我们村 村口 宅基地 村民 村务 村干部 村道 村集体"),
    (PlaceKind.MUNICIPAL_ROAD, 2.4, "路面 马路 主路 辅路 路口 十字路口 红绿灯 信号灯 斑马线 人行横道 机动车道 非机动车道 盲道 人行天桥 过街天桥 天桥 地下通道 井盖 路灯 高架桥 高架 环路 车道 掉头 隔离护栏 护栏 桥下 桥底下 主干道 道路 路段 交叉口 雨箅子"),
    (PlaceKind.HIGHWAY, 3.0, "国道 省道 县道 乡道 公路"),
    (PlaceKind.EXPRESSWAY, 3.0, "高速 高速公路 高速路 收费站 服务区 应急车道"),
    (PlaceKind.STREET, 2.0, "胡同 街边 便道 路边 路旁 街头 街上 步行街 背街小巷 小巷 人行道 路边摊 流动摊 游商 早市 马路边 占道经营 占道 街面 沿街 地摊 小摊 摆摊 烧烤摊"),
    (PlaceKind.RIVER, 3.0, "河道 河边 河里 河面 河水 河堤 水库 湖边 湖里 湖面 水渠 沟渠 护城河 排水沟 河岸 河床 湖水"),
    (PlaceKind.CONSTRUCTION, 3.0, "工地 施工现场 建筑工地 基坑 塔吊 打桩 在建工程 在建楼"),
    (PlaceKind.CONSTRUCTION, 1.6, "施工 渣土车 夜间施工 混凝土 搅拌站"),
    (PlaceKind.CAMPUS, 3.0, "学校 幼儿园 小学 中学 大学 校园 校区 校门 教学楼 学生宿舍 教室 托管班 高中 初中"),
    (PlaceKind.HOSPITAL, 3.0, "医院 卫生院 门诊 急诊 挂号 卫生服务中心 住院部 病房 诊所 医生 护士"),
    (PlaceKind.SHOP, 2.6, "饭店 饭馆 餐厅 餐馆 超市 便利店 店铺 门店 理发店 美容院 健身房 药店 商户 底商 火锅店 烧烤店 奶茶店 4S店 KTV 网吧 酒吧 洗浴 足疗 按摩店 商家 店家 餐饮店 早餐店 瑜伽馆 酒店 宾馆 小吃店 快餐店 培训机构 游泳馆 专卖店 蛋糕店 服装店 房产中介 中介 旅馆 棋牌室 小店 彩票站 门面 家具店 咖啡馆 快递站 驿站 加油站"),
    (PlaceKind.MARKET, 3.0, "市场 商场 购物中心 菜市场 批发市场 农贸市场 大集 集市 商城 卖场 百货"),
    (PlaceKind.TRANSIT, 2.8, "地铁 地铁站 公交站 公交车站 公交车 公交 站台 候车亭 城铁 线路 号线 末班车 发车 车厢"),
    (PlaceKind.HUB, 3.0, "火车站 机场 航站楼 高铁站 候车室 客运站 候机 长途站"),
    (PlaceKind.PARK, 3.0, "公园 街心花园 植物园 动物园 森林公园 绿道 口袋公园"),
    (PlaceKind.SCENIC, 3.0, "景区 景点 博物馆 风景区 游客中心 旅游区 图书馆 体育馆 展览馆 游乐园"),
    (PlaceKind.OFFICE, 2.6, "写字楼 产业园 科技园 创业园 办公楼 工业园 园区 办公区 大厦"),
    (PlaceKind.FARMLAND, 3.0, "农田 耕地 大棚 林地 基本农田 菜地 果园 庄稼 苗圃 鱼塘 农用地 山林"),
    (PlaceKind.ONLINE, 2.6, "网上 平台 APP 网购 电商 直播间 小程序 网店 淘宝 京东 拼多多 美团 抖音 闲鱼 app 线上 公众号 网络"),
)  # fmt: skip
_KIND_OF: Final = tuple(kind for kind, _, words in _CUES for _ in words.split())
_POINTS: Final = tuple(points for _, points, words in _CUES for _ in words.split())
_MATCHER: Final = WordMatcher(word for _, _, words in _CUES for word in words.split())

_ENTRY_KIND: Final = {
    "district": PlaceKind.UNKNOWN,
    "town": PlaceKind.UNKNOWN,
    "area": PlaceKind.UNKNOWN,
    "community": PlaceKind.COMPOUND,
    "station": PlaceKind.TRANSIT,
    "bridge": PlaceKind.MUNICIPAL_ROAD,
    "alley": PlaceKind.STREET,
}
# A community's name says where people live; the matter may still be on the street.
_ENTRY_POINTS: Final = {"community": 1.6, "station": 1.8, "municipal_road": 2.0, "village": 2.2}
_ENTRY_DEFAULT: Final = 2.5
# What follows makes the word before it a mere landmark.
_BESIDE: Final = re.compile(
    "(?:[A-Z][0-9]?)?[东西南北]{0,2}(?:旁边?|对面|附近|周边|外面|外墙|门口|门外|门前|大门|边上|跟前|一侧|侧|斜对面|隔壁|后身|门|出口|[A-Z0-9]口)"
)
_BESIDE_FACTOR: Final = 0.35
_NEAR: Final = 14
_FAR: Final = 45


def entry_kind(kind: int) -> PlaceKind:
    """Return the kind of place that a row of ``ENTRY_KINDS`` stands for."""
    name = ENTRY_KINDS[kind]
    return _ENTRY_KIND.get(name) or PlaceKind(name)


def place_kind(text: str, span: Span, entry: int | None, evidence: Sequence[Span]) -> PlaceKind:
    """Return the kind of the place of the matter.

    Parameters
    ----------
    text
        The whole text.
    span
        The part of it that is asked about.
    entry
        Row of ``ENTRY_KINDS`` of what was found, if anything.
    evidence
        Where it was found.
    """
    points: dict[PlaceKind, float] = {}
    anchor = -1
    named = False
    if evidence:
        anchor = evidence[-1][1]
        if entry is not None:
            kind = entry_kind(entry)
            named = kind is not PlaceKind.UNKNOWN
            if named:
                base = _ENTRY_POINTS.get(ENTRY_KINDS[entry], _ENTRY_DEFAULT)
                if _BESIDE.match(text, anchor) is not None:
                    base *= _BESIDE_FACTOR
                points[kind] = base
    start, end = span
    part = text if start == 0 and end >= len(text) else text[start:end]
    for index, left, right in _MATCHER.find(part):
        kind, weight = _KIND_OF[index], _POINTS[index]
        a, b = left + start, right + start
        if named and any(s <= a and b <= e for s, e in evidence):
            # Part of the name that was found (回龙观医院), which counts already.
            continue
        if _BESIDE.match(text, b) is not None:
            weight *= _BESIDE_FACTOR
        if anchor >= 0:
            distance = abs(a - anchor)
            weight *= 1.0 if distance <= _NEAR else 0.8 if distance <= _FAR else 0.55
        known = points.get(kind, 0.0)
        # The same kind again confirms it, but three mentions of 物业 are no three places.
        points[kind] = max(known, weight) + 0.25 * min(known, weight)
    if not points:
        return PlaceKind.UNKNOWN
    best = max(points, key=points.__getitem__)
    return best if points[best] >= 0.5 else PlaceKind.UNKNOWN
