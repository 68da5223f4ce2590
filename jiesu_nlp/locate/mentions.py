"""Find names in a text and keep those that are meant as places in Beijing.

The automaton finds every spelling (leftmost, longest). A weak spelling stays only in words that
speak of a place; a name governed by a place elsewhere (天津市河西区…) goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from jiesu_nlp.locate.gazetteer import KIND_ROW, Gazetteer, KeyFlag
from jiesu_nlp.text.matcher import HeadedPattern

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_BREAK: Final = re.compile("[,。.;!?:、\\n]")

# What ends just before a place, as a rule.
_LEADS: Final = re.compile(
    r"(?:^|[这那]个|[\s,。.;!?:、(\"“《\[/]|[在从到往离至去回来住于经过近是乘坐逛京]|位于|反映|投诉|举报|人称|来电称|我们|咱们|地铁|号线|地址|地点|前往|市区?)$"
)
_SURE_LEADS: Final = re.compile(
    "(?:[在住去到回逛来从]|位于|地铁|号线|前往|地址:?|地点:?|我们|咱们?|俺们?)$"
)
# What follows a place and hardly anything else.
_FOLLOWS: Final = re.compile(
    "(?:地铁|城铁|火车|公交|高铁)?站|地铁|地区|街道|小区|社区|附近|[这那](?:边|儿|里|块|片)|一带|周边|路口|镇|乡"
    "|村|派出所|商圈|[东西南北中][里街路门口区园站桥巷]|大街|桥[上下]|立交|胡同|家园|新城|城区|[东西南北]?[一二三四五六七八九十]?[条区里]"
    "|[0-9甲乙]{1,4}号|卫生[院所]|敬老院"
)
# After these a common word is itself: the front door of a house, a footbridge.
_NOT_AFTER_HARD: Final = re.compile("[口里]")
_DISTRICT_FOLLOWS: Final = re.compile(
    r"$|[\s,。.;!?:、)的这那有某各全和与到来去租买住上户人区县境段线店站东西南北内哪开办工务农山旅]"
    "|一[家个所条处些]|地铁|城铁|火车站|城区|县城|新城|本地|居民|村民|分局|法院|检察院|教委|住建|城管|政府|公安|校区|附近|方向|交界|老城"
)
# Short names that mean nothing but the district: at the head of a clause they need no more.
_PLAIN_DISTRICTS: Final = frozenset(
    "海淀 通州 昌平 怀柔 延庆 顺义 平谷 房山 丰台 门头沟 石景山".split()
)
# After the short name of a district these speak of a place whatever stands before it.
_DISTRICT_SURELY: Final = re.compile(
    "[这那](?:边|儿|里|块|片)|我们(?:村|家|小区|这|那)|一(?:片|带|派|家|个小区)|[某的](?:小区|村|一个)"
)
_FOREIGN_BEFORE: Final = re.compile(
    "(?:([\u4e00-\u9fff]{2,3})(?:省|市(?![民场政里区容价])|县|州|盟|自治区|旗)|[A-Z][0-9]{0,3}[市区县]|西地省)"
    "[^,。.;!?\\n]{0,4}$"
)
_OWN: Final = re.compile(
    "北京|本|我|全|城|超|菜|夜|早|门|股|楼|花|都|各|集|该|外|节|入|进|出|在|到|密云|延庆|上|下"
)
_ANONYMISED: Final = HeadedPattern("A-Z西", "[A-Z][0-9]{1,3}[市区县]|[A-Z]市|西地省")
_COMPANY: Final = re.compile("(?:有限|[^,。.;!?:、\\s的在有路街口号院]){0,14}公司")
_SURE_KINDS: Final = frozenset(
    KIND_ROW[k] for k in ("area", "station", "hospital", "campus", "scenic", "hub", "park", "town")
)
# Kinds whose names often end longer names of the same kind (国际星城小区 is not 星城小区).
_TAILS: Final = frozenset(
    KIND_ROW[k]
    for k in ("compound", "community", "village", "municipal_road", "park", "market", "office")
)
_BOUND: Final = re.compile(
    "(?:[^\u4e00-\u9fff]|[在从到往离至去回来住于经过近是乘坐逛京区市镇乡县村路街道的我们有给对为由被向把和与及了着号院内里侧"
    "边面旁口东西南北称说问找进出沿因就让请像]|反映|投诉|举报|咨询|关于|建议|表示)$"
)
# A short name before these is the head of a road we do not know (东四路).
_ROAD_HEAD: Final = re.compile(
    "路(?!口|过|边|上|灯|面|段|由|公交)|大?街(?![道上边头坊])|大道|岭|岸"
)
_DISTRICT: Final = KIND_ROW["district"]
# As plain integers: IntFlag arithmetic costs more than the tests themselves.
_WEAK: Final = int(KeyFlag.WEAK)
_HARD: Final = int(KeyFlag.HARD)
_CONTEXT: Final = int(KeyFlag.CONTEXT)
_SHORT: Final = int(KeyFlag.SHORT_DISTRICT)
_CITY: Final = int(KeyFlag.CITY)
_FOREIGN: Final = int(KeyFlag.FOREIGN)
_NOT_PLACE: Final = int(KeyFlag.NOT_PLACE)
_TOWN: Final = KIND_ROW["town"]


# Not frozen: each ticket makes one, and frozen it would cost six times as much.
@dataclass(slots=True)
class Mention:
    """A name in the text: where it stands and the entries it may mean, by the tables."""

    start: int
    end: int
    rows: tuple[int, ...]
    weak: bool = False
    # In the name of a company, which may sit anywhere.
    company: bool = False
    # Found by sound, not by spelling.
    homophone: bool = False


@dataclass(slots=True)
class Mentions:
    """All mentions of a text, and whether it speaks of places elsewhere."""

    found: tuple[Mention, ...]
    foreign: bool
    # Whether nothing that looks like a name was seen at all, so that sound may be tried.
    empty: bool


class MentionFinder:
    """The automaton over all spellings and the tests each hit must pass."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer
        self._flags = gazetteer.flags
        self._rows = gazetteer.rows
        self._automaton = AhoCorasick(
            list(gazetteer.keys),
            matchkind=MatchKind.LeftmostLongest,
            implementation=Implementation.ContiguousNFA,
        )

    def find(self, text: str) -> Mentions:
        """Return the mentions of a text in order."""
        try:
            hits = self._automaton.find_matches_as_indexes(text)
        except UnicodeEncodeError:  # a lone surrogate has no place in UTF-8
            hits = self._automaton.find_matches_as_indexes(_SURROGATES.sub("\ufffd", text))
        anonymised = _ANONYMISED.occurs(text)
        if not hits:
            return Mentions((), foreign=anonymised, empty=True)
        foreign = anonymised
        anchored = False
        governed_to = -1
        city_end = -1
        kept: list[tuple[int, int, int, int]] = []
        for key, start, end in hits:
            flag = self._flags[key]
            if flag & _CITY:
                city_end, governed_to, anchored = end, -1, True
            elif flag & _FOREIGN:
                if not self._is_foreign(text, end):
                    continue
                foreign = True
                stop = _BREAK.search(text, end)
                governed_to = stop.start() if stop is not None else len(text)
            elif not flag & _NOT_PLACE and start >= governed_to:
                known = kept[-1][2] if kept else 0
                if start != city_end and self._governed(text, start, max(known, city_end)):
                    foreign = True
                    stop = _BREAK.search(text, end)
                    governed_to = stop.start() if stop is not None else len(text)
                    continue
                kept.append((key, start, end, city_end))
        found: list[Mention] = []
        for i, (key, start, end, city) in enumerate(kept):
            rows = self._rows[key]
            flag = self._flags[key]
            before = found[-1] if found and found[-1].end >= start - 1 else None
            after = kept[i + 1] if i + 1 < len(kept) and kept[i + 1][1] <= end + 1 else None
            if flag & (_WEAK | _SHORT):
                beside = (
                    start == city
                    or (before is not None and self._fit(before.rows, rows))
                    or (after is not None and self._fit(rows, self._rows[after[0]]))
                )
                if flag & _CONTEXT:
                    if not any(self._fit(rows, self._rows[k]) for k, s, _, _ in kept if s != start):
                        continue
                elif not beside and not _placelike(text, start, end, flag):
                    continue
            company = False
            if not self._is_administrative(rows, flag) and _COMPANY.match(text, end) is not None:
                if flag & (_SHORT | _WEAK):
                    continue
                company = True
            weak = bool(flag & _WEAK)
            if before is None and start != city and end - start <= 4:
                unbound = (
                    start > 0
                    and self._gazetteer.kinds[rows[0]] in _TAILS
                    and _BOUND.search(text, max(0, start - 2), start) is None
                )
                # 合同|时村: two characters in the middle of other words are no name.
                if unbound and (weak or end - start == 2):
                    continue
                weak = weak or unbound
                if end - start == 2 and _ROAD_HEAD.match(text, end) is not None:
                    continue
            found.append(Mention(start, end, tuple(rows), weak=weak, company=company))
            if not flag & (_WEAK | _SHORT) and self._gazetteer.kinds[rows[0]] == _DISTRICT:
                anchored = True
        if foreign and not anchored:
            found = [m for m in found if self._sure(text, m)]
        return Mentions(tuple(found), foreign=foreign, empty=not kept)

    @staticmethod
    def _is_foreign(text: str, end: int) -> bool:
        """Say whether a province names a place, not food or a road (四川火锅, 新疆大盘鸡)."""
        return text[end : end + 2] not in {"火锅", "面馆", "小吃", "拉面", "菜馆", "大厦", "饭店"}

    def _governed(self, text: str, start: int, known: int) -> bool:
        """Say whether the words before a name place it in another city or county.

        ``known`` is the end of the last name of Beijing before it: its 市 or 州 is no other's.
        """
        match = _FOREIGN_BEFORE.search(text, max(0, known, start - 9), start)
        if match is None:
            return False
        name = match.group(1)
        return name is None or _OWN.search(name) is None

    def _fit(self, rows: Sequence[int], others: Sequence[int]) -> bool:
        """Say whether two names side by side can be one place and one of them is a district or town."""
        zones, kinds, meet = self._gazetteer.zones, self._gazetteer.kinds, self._gazetteer.meet
        if not any(kinds[r] in (_DISTRICT, _TOWN) for r in (*rows, *others)):
            return False
        return any(
            meet(a, b) is not None for r in rows for o in others for a in zones[r] for b in zones[o]
        )

    def _is_administrative(self, rows: Sequence[int], flag: int) -> bool:
        kinds = self._gazetteer.kinds
        return not flag & _SHORT and kinds[rows[0]] in (_DISTRICT, _TOWN)

    def _sure(self, text: str, mention: Mention) -> bool:
        """In a text about another city, only names that hardly exist there are kept."""
        gazetteer = self._gazetteer
        return (
            not mention.weak
            and _LEADS.search(text, max(0, mention.start - 3), mention.start) is not None
            and mention.end - mention.start >= 3
            and all(gazetteer.kinds[r] in _SURE_KINDS for r in mention.rows)
            and len({gazetteer.district_of(z) for r in mention.rows for z in gazetteer.zones[r]})
            == 1
        )


def _placelike(text: str, start: int, end: int, flag: int) -> bool:
    """Say whether the words around a weak spelling speak of a place."""
    leads = start == 0 or _LEADS.search(text, max(0, start - 3), start) is not None
    if flag & _SHORT:
        # 密云不雨 at the head of a sentence has a boundary in front too: what follows decides.
        sure = _SURE_LEADS.search(text, max(0, start - 3), start) is not None
        return (
            sure
            or _DISTRICT_SURELY.match(text, end) is not None
            or (leads and text[start:end] in _PLAIN_DISTRICTS)
            or (leads and _DISTRICT_FOLLOWS.match(text, end) is not None)
        )
    if text.endswith(("小区", "社区", "医院", "小学", "中学"), start, end):
        # 丽发新城小区 is not 新城小区: a generic name must begin where a name can begin.
        return leads
    follows = _FOLLOWS.match(text, end) is not None
    if flag & _HARD:
        return follows and _NOT_AFTER_HARD.match(text, end) is None
    return follows or leads
