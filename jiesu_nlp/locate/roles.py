"""What a place is to the matter: where it happened, the caller's home, work, a unit named, a route.

Read from the words just before and after a place within its sentence.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

_STOP: Final = re.compile("[,。.;!?\\n]")
_WINDOW: Final = 12
_AFTER: Final = 10


class Role(Enum):
    """Role of a place; the value is its pull on the answer, all else being equal."""

    STATED = 3.8
    NEUTRAL = 3.0
    ROUTE = 2.4
    UNIT = 2.0
    HOME = 1.4
    WORK = 1.0
    COMPANY = 0.9
    ORIGIN = 0.5
    COMPARED = 0.4

    @property
    def label(self) -> str:
        """How a person reads it."""
        return _LABELS[self.name]


_LABELS: Final = {
    "STATED": "写明的地点",
    "NEUTRAL": "地点",
    "ROUTE": "路线",
    "UNIT": "单位名称",
    "HOME": "住处",
    "WORK": "工作学习处",
    "COMPANY": "公司名称",
    "ORIGIN": "户籍",
    "COMPARED": "对比或去向",
}

_STATED: Final = re.compile(
    "(?:位于|地点[是为:]?|地址[是为:]?|坐标:?|发生在|坐落于?|反映的是|投诉的是|出事地点[是:]?)$"
)
_ORIGIN: Final = re.compile("(?:户籍|户口|籍贯|老家|出生|祖籍|身份证|社保)[^,。]{0,4}$")
_HOME: Final = re.compile(
    "(?:家住|家在|家是|我住|[我人]现?住|住在|居住在?|居住于|住址[是:]?|暂住|租住|租房[在住]|本人住|现住|现居|住|房子在|买房在|家庭住址:?)"
    "[^,。]{0,3}$"
)
_RESIDENT: Final = re.compile(
    "(?:我是|本人是|我们是|本人系|我系|作为|我们?都?是|俺是|人是)[^,。的]{0,3}$"
)
_RESIDENT_AFTER: Final = re.compile(
    "[^,。;!?]{0,12}?(?:居民|业主|村民|市民|住户|租户|人(?![员工行们大民])|老百姓|家长|学生|职工|员工)"
)
_HOME_AFTER: Final = re.compile(
    "(?:这边|那边|附近)?(?:居住|租房|租了|租的|买房|买了[一套个]*房|住了?|户口|户籍|人[,。]|长大|安家)"
)
_WORK: Final = re.compile(
    "(?:单位在|公司在|上班在|工作在|就职于|任职于|供职于|办公室在|工作单位[在是:]?|我公司位于|单位位于|学校在|注册地?址?[在于是:])$"
)
_WORK_AFTER: Final = re.compile("[^,。;!?]{0,6}?(?:上班|工作|就职|打工|上学|读书|念书)")
_UNIT_AFTER: Final = re.compile(
    "(?:区|街道|镇|乡)?(?:人民)?(?:政府|街道办|办事处|派出所|法院|检察院|城管|住建|信访|执法队|市场监管|公安|分局|交通支队"
    "|交警|教委|卫健|民政局|人社局|社保|税务|纪委|监察|工商|城市管理|环保局|生态环境局|水务局|不动产|房管|规自|仲裁|劳动监察|12345)"
)
_COMPARED: Final = re.compile(
    "(?:像|比|不如|类似|学习|参照|参考|对比|例如|比如|譬如|包括|开往|通往|去往|距离?|远离|毗邻|相比|效仿|跟|同样|还有|等于)[^,。]{0,3}$"
)
_TOWARDS: Final = re.compile("(?:开往|通往|去往|驶向|前往|回|去|到)$")
_DIRECTION_AFTER: Final = re.compile("方向|那样|一样|的经验|的做法|比")
_WAY_HOME: Final = re.compile("(?:回|返)[家]?$")


def role_of(text: str, start: int, end: int) -> Role:
    """Return the role of the place at ``text[start:end]``."""
    left = max(0, start - _WINDOW)
    head = text[left:start]
    stop = max(map(head.rfind, ",。;!?\n"))
    before = head[stop + 1 :]
    after = text[end : end + _AFTER + 8]
    if before:
        if _STATED.search(before) is not None:
            return Role.STATED
        if _ORIGIN.search(before) is not None:
            return Role.ORIGIN
        if _WORK.search(before) is not None:
            return Role.WORK
        if _HOME.search(before) is not None:
            return Role.HOME
        if _RESIDENT.search(before) is not None and _RESIDENT_AFTER.match(after) is not None:
            return Role.HOME
        if _COMPARED.search(before) is not None:
            return Role.COMPARED
    if after:
        if _UNIT_AFTER.match(after) is not None:
            return Role.UNIT
        if _HOME_AFTER.match(after) is not None:
            return Role.HOME
        if _DIRECTION_AFTER.match(after) is not None:
            return Role.COMPARED
        if _WORK_AFTER.match(after) is not None:
            return Role.WORK
    return Role.NEUTRAL


_ROUTE_GAP: Final = re.compile(
    "[^,。;!?\\n]{0,6}?(?:到|至|往返于?|开到|去往?|-|—|~|～|一直到|通往|开往)[^,。;!?\\n]{0,3}$"
)
_CROSSING_GAP: Final = re.compile(
    "[^,。;!?\\n]{0,3}?(?:与|和|跟|及|、|交叉|交汇|十字|/)[^,。;!?\\n]{0,4}$"
)


def is_route(text: str, end: int, start: int) -> bool:
    """Say whether the words between two places make them the ends of a way (A到B)."""
    return start - end <= 10 and _ROUTE_GAP.fullmatch(text, end, start) is not None


def is_crossing(text: str, end: int, start: int) -> bool:
    """Say whether the words between two places join them (A与B交叉口)."""
    return start - end <= 8 and _CROSSING_GAP.fullmatch(text, end, start) is not None
