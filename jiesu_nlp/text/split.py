"""Split: find the several demands that one ticket may hold (一单多诉求).

The contract: spans are half-open character offsets into the text that was given, in order, without
overlap, and together they cover the text from its first to its last character, so nothing that a
citizen wrote is lost to the stages behind. What comes before the first demand (greeting, place)
belongs to the first span, what comes after the last to the last one; a stage that needs the place
should therefore look into its own span first and into the whole text next.

A boundary needs a *form* (item of a list, 另外…, 同时还…) and either a *change of topic* between
its two sides or the caller's own count (说两件事…). Lists that are announced as reasons, laws or
steps are not cut. These are candidates: the dispatcher joins neighbours that the classifier does
not find to be two different matters.
"""

from __future__ import annotations

import re
from typing import Final

from jiesu_nlp.suggestion import Span
from jiesu_nlp.text.lexicon import TOPICS
from jiesu_nlp.text.matcher import HeadedPattern

# Shorter than this (characters) a stretch is an aside, not a demand.
_SHORTEST: Final = 8
_MOST: Final = 12

_CHINESE_NUMBERS: Final = {c: i for i, c in enumerate("一二三四五六七八九十", start=1)}
# Everything a boundary may begin with.
_CUE: Final = HeadedPattern(
    "0-9(（一二三四五六七八九十①②③④⑤⑥⑦⑧⑨⑩第头其首同另此顺除还也又再",
    "(?P<item>"
    r"(?<![0-9A-Za-z.\-第年月日])[0-9]{1,2}(?:[、)）]|[.．:：](?![0-9]))"
    r"|[(（][0-9一二三四五六七八九十]{1,2}[)）、]"
    r"|(?<![第十\u4e00-\u9fff])[一二三四五六七八九十][、.．:：]"
    r"|[一二三四五六七八九](?:是|来|则)(?<=[,，。.;；:：!！?？\n ]..)"
    r"|[①②③④⑤⑥⑦⑧⑨⑩]"
    r"|第[一二三四五六七八九十](?:[,，、:：.]|个问题|点|[件桩项][,，、:：])|头一[件桩项][,，、:：]"
    r"|[其首](?:次|先|一|二|三|四)[,，、:：]"
    r")"
    "|(?P<turn>"
    # Within a sentence only words that say outright that something else is meant.
    "(?<=[,，。.;；!！?？\n ])(?:"
    "(?:(?:同时|另外?|此外|顺便|除此之外)[,，]?)?(?:还|也|又)(?:要|想|需要?|请求)?"
    "(?:反映|投诉|举报|咨询|反应|问一?下)"
    "|(?:同时|另外?|此外|顺便)[,，]?(?:要|想)?(?:反映|投诉|举报|咨询|反应|问一?下)"
    "|还有(?:就是|一?[个件]?(?:问题|事情?))[,，:：是]?"
    "|再(?:一个|有一个|有就是|有)(?:问题)?[,，就是]"
    "|另一?[个件](?:问题|事情?)|第二[个件](?:问题|事情?)"
    ")"
    # At the head of a sentence also words that often go on about the same.
    "|(?<=[。;；!！?？\n])(?:另外|此外|除此之外|再者|再次)(?![一两几半])[,，]?"
    ")",
)
_CIRCLED: Final = "①②③④⑤⑥⑦⑧⑨⑩"
_ITEM_NUMBER: Final = re.compile("[0-9]{1,2}|[一二三四五六七八九十]")
_ITEM_WORDS: Final = {"首先": 1, "其一": 1, "头一": 1, "其次": 2, "其二": 2, "其三": 3, "其四": 4}

# Turns so explicit that a new matter is certain; the others need a topic on both sides.
# The caller says how many matters there are; then every item and turn starts one.
_COUNTED: Final = HeadedPattern(
    "两俩三仨几四2-4这那",
    "[两俩三仨几四2-4](?:[个件项桩样宗点]|方面)?(?:的)?(?:事|问题|诉求|难处|毛病|情况)|[两三几]样(?:一块|都)|(?:这|那)?俩事",
)
# Turns of speech that head a matter once they have been counted.
_COUNTED_TURN: Final = re.compile(
    "(?:一个是|再一个|再有|还有(?:啊|就是|呢)|另一[个件]|另外|另(?=[,，有]))"
)
_NEW_MATTER: Final = re.compile("反映|投诉|举报|咨询|反应|问题|事")
# What announces a list of reasons, evidence, rules or steps: one matter told in points.
_ONE_MATTER: Final = re.compile(
    "理由|原因|依据|根据|规定|条款|条例|法律|事实|经过|证据|过程|情况如下|如下情况|说明|条件|材料|手续"
    "|步骤|方案|措施|建议|要求[:：]|疑问|疑点|请问|咨询|解释|好处|意义|优点|危害|影响|特点|理由如下"
)
# In these, lists are the points of one quarrel however many topics they touch.
_ONE_QUARREL: Final = re.compile(
    "质量|精装|毛坯|装修|合同|虚假|欺诈|维权|质价|规划|考试|招聘|提质|改造"
)
# What announces a list of matters.
_SEVERAL_MATTERS: Final = re.compile(
    "以下(?:[几多]?[个点项]?)?(?:问题|诉求|事项|情况)|(?:问题|诉求|事项)(?:如下|有)|[几两三四五多](?:个|点|项|方面)(?:的)?"
    "(?:问题|诉求|事)|主要问题|诸多问题|种种问题|存在(?:的)?问题|反映如下|投诉如下|问题[:：]"
)

_TOPIC_OF: Final = {word: topic for topic, words in TOPICS.items() for word in words}
_TOPIC_WORD: Final = re.compile("|".join(sorted(map(re.escape, _TOPIC_OF), key=len, reverse=True)))


def _topics(text: str) -> frozenset[str]:
    return frozenset(_TOPIC_OF[word] for word in _TOPIC_WORD.findall(text))


def _number(item: str) -> int:
    """Return the number that heads an item of a list, 0 if there is none."""
    if item[0] in _CIRCLED:
        return _CIRCLED.index(item[0]) + 1
    if item[:2] in _ITEM_WORDS:
        return _ITEM_WORDS[item[:2]]
    match = _ITEM_NUMBER.search(item)
    if match is None:
        return 0
    found = match.group()
    return _CHINESE_NUMBERS.get(found) or int(found)


def _list_starts(text: str, items: list[tuple[int, int]]) -> list[int]:
    """Return where the items of a list of matters begin; empty if the list is none.

    Parameters
    ----------
    text
        The text.
    items
        Offset and number of every head of an item, in order.
    """
    starts: list[int] = []
    expected = 1
    for offset, number in items:
        if number == 1 and expected <= 2:
            # The list begins anew: what came before was no list of two items or more.
            starts, expected = [offset], 2
        elif number == expected and expected > 1:
            if offset - starts[-1] < _SHORTEST:
                # 3、4、5号楼: a row of numbers, not a list.
                starts, expected = [], 1
                continue
            starts.append(offset)
            expected += 1
    if len(starts) < 2:
        return []
    before = text[max(0, starts[0] - 80) : starts[0]]
    if _ONE_QUARREL.search(text, 0, starts[0]) is not None:
        return []
    if _ONE_MATTER.search(before) and not _SEVERAL_MATTERS.search(before):
        return []
    return starts


def split_demands(text: str) -> tuple[Span, ...]:
    """Split a ticket into candidate demands.

    Parameters
    ----------
    text
        Any text, normalised or not.

    Returns
    -------
    tuple of Span
        At least one span, half-open character offsets into ``text``; see the module's contract.
    """
    whole: tuple[Span, ...] = ((0, len(text)),)
    items: list[tuple[int, int]] = []
    turns: dict[int, bool] = {}
    for match in _CUE.find(text):
        if match["item"]:
            items.append((match.start(), _number(match["item"])))
        else:
            turns[match.start()] = _NEW_MATTER.search(match["turn"]) is not None
    counted = _COUNTED.occurs(text)
    if counted:
        spoken = [match.start() for match in _COUNTED_TURN.finditer(text)]
        # 一个是…一个是…: the first heads the first matter.
        if spoken and text.startswith("一个是", spoken[0]):
            spoken = spoken[1:]
        turns.update(dict.fromkeys(spoken, True))
    if not turns and len(items) < 2:
        return whole
    listed = set(_list_starts(text, items))
    boundaries = sorted(listed | turns.keys())
    if not boundaries:
        return whole
    return _cut(text, boundaries, listed, turns, counted=counted)


def _cut(
    text: str, boundaries: list[int], listed: set[int], turns: dict[int, bool], *, counted: bool
) -> tuple[Span, ...]:
    """Keep the boundaries at which the topic changes, or all if the matters were counted."""
    ends = [*boundaries[1:], len(text)]
    starts = [0]
    seen = _topics(text[: boundaries[0]])
    first_item = True
    for boundary, end in zip(boundaries, ends, strict=True):
        stretch = text[boundary:end]
        topics = _topics(stretch)
        fresh = topics - seen
        long_enough = len(stretch) >= _SHORTEST and boundary - starts[-1] >= _SHORTEST
        if boundary in listed and first_item:
            # What comes before the first item introduces it.
            first_item = False
            seen |= topics
            continue
        # Said outright, something new is enough; otherwise nothing may be known from before.
        outright = turns.get(boundary, False)
        turned = bool(fresh) if outright else bool(seen and topics and topics == fresh)
        if long_enough and (turned or counted):
            if len(starts) == _MOST:
                break
            starts.append(boundary)
        seen |= topics
    return tuple(zip(starts, [*starts[1:], len(text)], strict=True))
