"""Request type (诉求类型): 咨询, 求助, 投诉, 举报 or 建议, from the words that ask for something.

Every cue adds points to a type; the points become probabilities by a softmax. The first line (a
letter's title) and the last sentence say what is wanted more plainly than the story between them,
so cues there count more. Offsets are half-open character offsets into the text that was given.
"""

from __future__ import annotations

import math
import re
from typing import Final

from jiesu_nlp.suggestion import RequestTypeGuess, Span
from jiesu_nlp.text.matcher import WordMatcher
from jiesu_nlp.vocabulary import RequestType

_ENQUIRY: Final = RequestType.ENQUIRY.value
_HELP: Final = RequestType.HELP.value
_COMPLAINT: Final = RequestType.COMPLAINT.value
_REPORT: Final = RequestType.REPORT.value
_SUGGESTION: Final = RequestType.SUGGESTION.value

# Points without any cue: most of what citizens write complains about something.
_PRIOR: Final = {
    _COMPLAINT: 1.4,
    _HELP: 0.4,
    _ENQUIRY: 0.3,
    _SUGGESTION: 0.0,
    _REPORT: -0.8,
}
# For a call for help, when the emergency gate was raised: outweighs one clear word, not two.
_EMERGENCY: Final = 2.4

# Type, points, words. Points are set by hand: 1 is a hint, 2 a clear word, 3 the word itself.
_WORDS: Final[tuple[tuple[str, float, str], ...]] = (
    (_ENQUIRY, 2.4, "咨询一下 想咨询 我想问 想问一下 想问下 请问如何 请问怎么 请问是否 请问需要 请问在哪"),
    (_ENQUIRY, 1.8, "咨询"),
    (_ENQUIRY, 1.2, "请问 问一下 问下 想了解 想知道 了解一下 请教 疑问 如何认定 怎么算 如何计算"),
    (_ENQUIRY, 1.6, "怎么办理 如何办理 怎样办理 怎么申请 如何申请 哪里办 在哪办 什么流程 流程是 什么时候能 何时能"),
    (_ENQUIRY, 1.6, "需要哪些 有哪些 什么材料 什么手续 什么条件 什么政策 什么标准 多长时间 多少钱 多久 怎么查询"),
    (_ENQUIRY, 1.3, "是否可以 是否需要 是否属于 是否能 是否有 是否符合 可不可以 能不能办 属不属于 需不需要"),
    (_ENQUIRY, 1.0, "望解答 请解答 望告知 请告知 望答复 政策 办理 前置审批 具体规定"),
    (_SUGGESTION, 2.6, "建议 提议 提个建议 合理化建议"),
    (_SUGGESTION, 1.3, "能否考虑 是否考虑 希望能考虑 刻不容缓 呼吁 倡议 更加人性化 有利于 促进 便民 不妨"),
    (_SUGGESTION, 1.2, "增设 增开 加装 开通 延长 新增 优化 扩大 延伸 推广 打造 加快 完善 调整 取消 试点 引进"),
    (_SUGGESTION, 0.5, "规划 改进 加强 发展 提升"),
    (_REPORT, 3.0, "举报 检举 揭发"),
    (_REPORT, 1.5, "严惩 查处 取缔 纪委 立案 彻查 严查 严厉打击"),
    (_REPORT, 1.4, "无证 无照 非法经营 非法行医 非法集资 偷税 漏税 贪污 受贿 腐败 造假 传销 赌博 卖淫 假冒"),
    (_REPORT, 1.4, "伪劣 盗采 电鱼 涉黑 保护伞 吃空饷 暗箱操作 舞弊"),
    (_COMPLAINT, 2.0, "投诉"),
    (_COMPLAINT, 1.2, "扰民 乱收费 不作为 推诿 霸王 欺骗 欺诈 忽悠 违规 强制 强行 恶劣 没人管 无人管 不管"),
    (_COMPLAINT, 1.2, "不处理 拖欠 拒绝 拒不 不给 虚假 捆绑 垄断 涨价 违约"),
    (_COMPLAINT, 1.0, "严重影响 臭 噪音 噪声 污染 凭什么 退款 退费 退钱 赔偿 乱停 违停 占用 侵占 长期 无故"),
    (_COMPLAINT, 1.0, "一直没 一直未 迟迟 说法 公道 作主 做主 讨说法 责令 强烈要求 吵"),
    (_COMPLAINT, 0.6, "为何 为什么 谁来管 不合理 太差 无法忍受 质量问题 违建 私自 擅自 不公 整治 整改"),
    (_HELP, 2.4, "求助 求救 救救 帮帮我 请求帮助 寻求帮助 需要帮助"),
    (_HELP, 1.4, "帮忙 帮助 帮我 协助 恳请 恳求 请求 诚请 急盼 盼望 期盼 求领导"),
    (_HELP, 1.5, "点亮 通水 通电 通气 供气 硬化 抢修 疏通 修缮 尽快修 尽快维修 请维修 派人 开具"),
    (_HELP, 0.7, "停水 停电 停气 没水 没电 断电 漏水 漏雨 坏了 不亮 困难 无法联系 无法办理 无法报名 低保"),
    (_HELP, 1.0, "残疾 孤寡 走失 报名难 出行难 无法居住 尽早 早日 联系方式"),
)  # fmt: skip
_CUES: Final = tuple((kind, points) for kind, points, words in _WORDS for _ in words.split())
_MATCHER: Final = WordMatcher(word for _, _, words in _WORDS for word in words.split())

# What was said or done before is no request of today; nor is what only bears the word in its name.
_BEFORE: Final = re.compile("多次|[曾也都]|已经?|之前|再次|无数次|[去来打向]|电话|相互")
_BEFORE_WINDOW: Final = 6
_SPOKEN: Final = frozenset({"投诉", "举报", "咨询", "建议"})
_NAME_FOLLOWS: Final = re.compile("过|了|无|电话|热线|中心|公司|平台|后|记录|人|量|到|多次|给")
_SENTENCE_END: Final = re.compile("[。.!！?？;；\n]")

_TITLE_WEIGHT: Final = 1.6
_LAST_WEIGHT: Final = 1.2
# A word said again adds little.
_AGAIN: Final = 0.25
# Softmax temperature, so that the winner's share is about how often it is right.
_TEMPERATURE: Final = 1.3


def _question_points(text: str) -> float:
    """Points for 咨询: a short text that ends in a question asks something."""
    tail = text.rstrip(" \n。.谢!！您你请回复答望")[-1:]
    asks = text.count("?") + text.count("？")
    return (1.0 if tail in "?？吗呢" and tail else 0.0) + min(asks, 3) * 0.35


def classify_request_type(text: str, *, emergency: bool = False) -> RequestTypeGuess:
    """Guess which of the five kinds of request a text is.

    Parameters
    ----------
    text
        Any text, normalised or not; one demand or a whole ticket.
    emergency
        Whether the emergency gate was raised: who sees smoke seldom says that he asks for help.

    Returns
    -------
    RequestTypeGuess
        ``confidence`` is an estimated probability; ``evidence`` the cues of the type that won, in
        order, as half-open character offsets into ``text``.
    """
    points = dict(_PRIOR)
    points[_HELP] += _EMERGENCY if emergency else 0.0
    title_end = text.find("\n")
    body_end = len(text.rstrip(" \n。.!！?？"))
    last_start = 0
    for match in _SENTENCE_END.finditer(text, max(0, body_end - 60), body_end):
        last_start = match.end()
    evidence: dict[str, list[Span]] = {}
    seen: set[int] = set()
    outcry = min(text.count("!") + text.count("！"), 4)
    for index, start, end in _MATCHER.find(text):
        kind, weight = _CUES[index]
        word = _MATCHER.words[index]
        if word in _SPOKEN:
            if start > title_end and _NAME_FOLLOWS.match(text, end):
                continue
            if start > title_end and _BEFORE.search(text, max(0, start - _BEFORE_WINDOW), start):
                weight *= _AGAIN
        if start < title_end:
            weight *= _TITLE_WEIGHT
        elif start >= last_start > 0:
            weight *= _LAST_WEIGHT
        if index in seen:
            weight *= _AGAIN
        seen.add(index)
        points[kind] += weight
        evidence.setdefault(kind, []).append((start, end))
    # A short text lives by its question; a long one asks rhetorically.
    question = _question_points(text)
    points[_ENQUIRY] += question * (1.6 if len(text) < 120 else 1.0 if len(text) < 250 else 0.4)
    points[_COMPLAINT] += 0.3 * outcry + (0.5 if len(text) > 300 else 0.0)
    best = max(points, key=points.__getitem__)
    top = points[best]
    total = sum(math.exp((value - top) / _TEMPERATURE) for value in points.values())
    return RequestTypeGuess(best, 1.0 / total, tuple(evidence.get(best, ())))
