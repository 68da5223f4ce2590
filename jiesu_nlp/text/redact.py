"""Redact: find personal data and mask it, length for length.

All spans are half-open and counted in characters of the text that is searched, which is meant to be
the *original*: full-width digits, separators and Chinese numerals are understood as they come, and
what fillers of speech, traditional or invisible characters disguise is found in the normal form.
Masking never changes the length, so a span of the original is a span of the redacted text.

What is masked: phone numbers (not service numbers such as 12345, 110 or 400…), identity cards and
other documents, bank cards, number plates, e-mail addresses, WeChat and QQ accounts, and names that
are introduced as names. What is not: addresses (dispatch needs them), and a bare surname with a
title (张先生, 李市长), which says no more than a masked name does.

Recall comes first for numbers, precision for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from jiesu_nlp.suggestion import Span
from jiesu_nlp.text.lexicon import (
    AFTER_NAME,
    BEFORE_NAME,
    COMPOUND_SURNAMES,
    GIVEN_NAME_CHARACTERS,
    NOT_NAMES,
    PERSON_TITLES,
    PLACE_ENDINGS,
    SURNAMES,
)
from jiesu_nlp.text.matcher import HeadedPattern
from jiesu_nlp.text.normalise import NormalisedText, normalise


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One piece of personal data.

    Attributes
    ----------
    kind
        ``mobile``, ``landline``, ``identity_card``, ``bank_card``, ``document``, ``plate``,
        ``email``, ``account`` (WeChat, QQ), ``name`` or ``surname`` (what follows 姓).
    span
        Half-open span in the searched text; a name includes its surname.
    """

    kind: str
    span: Span


# --- numbers ------------------------------------------------------------------------------------

# Same length in, same length out: the patterns below see ASCII digits and letters only.
_WIDE: Final = {0xFEE0 + code: chr(code) for code in range(0x21, 0x7F)} | {0x3000: " "}
_WIDE_SIGNS: Final = re.compile("[０-９Ａ-Ｚａ-ｚ＠＿．－＋]")
_CHINESE_DIGITS: Final = str.maketrans(
    "零〇○一幺二两三四五六七八九壹贰叁肆伍陆柒捌玖", "00011223456789123456789"
)
# Seven digits of either script (with separators) are the least that any number here has.
_CHINESE_RUN: Final = re.compile(
    "[零〇○一幺二两三四五六七八九壹贰叁肆伍陆柒捌玖](?:[-, 、，]?[0-9零〇○一幺二两三四五六七八九壹贰叁肆伍陆柒捌玖]){6}"
)

_S: Final = "[-—–‐·.。 ]"  # one separator inside a number
# A star is a digit that somebody masked: the rest of such a number is not a number of its own.
_BEGIN: Final = r"(?<![0-9*])"
_END: Final = r"(?![0-9*])"
# Only where the digits alone do not tell a number from an amount; 平时, 度假, 万一, 元旦 are no
# units, and many a place or firm begins with 万 or 亿.
_NOT_AMOUNT: Final = (
    r"(?! ?(?:[万亿]{1,2}(?![\u4e00-\u9fff])|[万亿]{0,2}(?:元(?![旦月宵])|块"
    r"|平(?:方|米|(?![\u4e00-\u9fff]))|㎡|度(?:电|(?![\u4e00-\u9fff]))|吨)))"
)

_MOBILE: Final = re.compile(
    rf"{_BEGIN}(?:(?:\+|00)?86{_S}?|0)?(?:"
    rf"1[3-9][0-9]{_S}{{0,2}}[0-9]{{4}}{_S}{{0,2}}[0-9]{{4}}"
    rf"|1[3-9][0-9]{_S}[0-9]{{3}}{_S}[0-9]{{5}}"
    rf"|1[3-9][0-9]{{2}}{_S}[0-9]{{3}}{_S}[0-9]{{4}}"
    rf"|1[3-9][0-9]{{2}}{_S}[0-9]{{4}}{_S}[0-9]{{3}}"
    rf"|1[ ,、][3-9](?:[ ,、][0-9]){{9}}){_END}"
)
_LANDLINE: Final = re.compile(
    rf"(?<![0-9*.])(?:\(0(?:10|2[0-9]|[3-9][0-9]{{2}})\)|0(?:10|2[0-9]|[3-9][0-9]{{2}})){_S}{{0,2}}"
    rf"[2-8][0-9]{{2,3}}{_S}?[0-9]{{4}}(?:(?:转|-)[0-9]{{1,5}})?{_END}"
)
# Without an area code only where a word for telephone stands right before.
_LOCAL_LANDLINE: Final = re.compile(
    r"(?:电话|座机|固话|来电|致电|拨打|联系方式|号码|电话号)(?:号码?)?[是为: 了]{0,2}"
    rf"([2-8][0-9]{{2,3}}{_S}?[0-9]{{4}}){_END}{_NOT_AMOUNT}"
)
# Any long digits said to be a telephone: dictated in odd groups, a digit short, and so on.
_TOLD_PHONE: Final = re.compile(
    r"(?:手机|电话|联系方式|联系我|来电|致电|回电)(?:号码?)?[^0-9,。;\n]{0,4}?"
    rf"(1[3-9](?:[-, 、]?[0-9]){{8,10}}){_END}{_NOT_AMOUNT}"
)
_IDENTITY_CARD: Final = re.compile(
    r"(?<![0-9*A-Za-z])([1-9][0-9]{5}) ?((?:18|19|20)[0-9]{6}) ?([0-9]{3}[0-9Xx])(?![0-9A-Za-z*])"
)
_OLD_IDENTITY_CARD: Final = re.compile(rf"{_BEGIN}([1-9][0-9]{{5}})([0-9]{{6}})[0-9]{{3}}{_END}")
_TOLD_IDENTITY: Final = re.compile(
    r"(?:身份证|证件|公民身份)(?:件|号码?|编号|是|为|[: ()（）])*([1-9][0-9]{5,18}[Xx]?)(?![0-9A-Za-z*])"
)
_TOLD_DOCUMENT: Final = re.compile(
    r"(?:护照|通行证|居住证|回乡证|军官证|士兵证|台胞证|社保卡|医保卡|残疾证)(?:件|号码?|编号|是|为|[: ()（）])*"
    r"([A-Za-z]{0,3}[0-9]{7,18}[A-Za-z]?)(?![0-9A-Za-z*])"
)
_BANK_CARD: Final = re.compile(
    rf"{_BEGIN}[3-9][0-9]{{3}}(?:{_S}?[0-9]{{4}}){{3}}{_S}?[0-9]{{0,3}}{_END}"
)
_TOLD_BANK_CARD: Final = re.compile(
    r"(?:卡号|银行卡|储蓄卡|借记卡|信用卡|工资卡|账号|帐号|账户|帐户)(?:号码?|是|为|[: ()（）])*"
    rf"([0-9](?:{_S}?[0-9]){{11,18}}){_END}{_NOT_AMOUNT}"
)
# A number right after one of these is nobody's telephone or card. A bare 快递 or 发票 does not say
# that its own number follows: the courier's telephone may.
_ORDER: Final = re.compile(
    r"(?:订单|单号|工单|编号|流水号|案号|文号|运单|快递号|受理号|货号|条码|合同号|发票号|型号|统一社会信用代码)"
    r"(?:号码?|是|为|[: ()（）])*$"
)
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"
)
_ACCOUNT: Final = re.compile(
    r"(?:微信|薇信|威信|wechat|weixin|wx|vx|扣扣|qq)(?:群|号码?|账号|帐号|id)*[是为:同 ]{0,3}"
    r"([A-Za-z][-_A-Za-z0-9]{5,19}|[0-9]{5,12})(?![-_A-Za-z0-9*])"
    rf"{_NOT_AMOUNT}(?![个人年月日])",
    re.IGNORECASE,
)

_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE: Final = re.compile(
    rf"[{_PROVINCES}] ?[A-Za-z][-·•.． ]?(?:[A-HJ-NP-Za-hj-np-z0-9]{{5,6}}|"
    r"[A-HJ-NP-Za-hj-np-z0-9]{4}[挂学警港澳领使])(?![A-Za-z0-9*])"
    rf"|WJ[{_PROVINCES}]?[-·•.． ]?[0-9]{{4,5}}[A-Za-z]?(?![A-Za-z0-9*])"
    r"|[A-Z][A-Z][·•][0-9]{5}(?![A-Za-z0-9*])"
    r"|[军空海北沈兰济南广成][A-Z][-·• ]?[0-9]{5}(?![A-Za-z0-9*])"
    r"|(?<![0-9*])(?:使[0-9]{6}|[0-9]{6}使)(?![0-9用*])"
)
_TOLD_PLATE: Final = re.compile(
    r"(?:车牌号?|牌照|牌号|车号)(?:码|是|为|[: ()（）“\"])*([A-Za-z]{1,2}[-·• ]?[A-Za-z0-9]{4,6})(?![A-Za-z0-9*])"
)

_ADMINISTRATIVE_REGIONS: Final = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
_CHECK_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _is_date(eight: str) -> bool:
    try:
        date(int(eight[:4]), int(eight[4:6]), int(eight[6:8]))
    except ValueError:
        return False
    return True


def _has_check_digit(card: str) -> bool:
    """Verify the last character of an 18-digit identity card (GB 11643)."""
    total = sum(
        int(digit) * weight for digit, weight in zip(card[:17], _CHECK_WEIGHTS, strict=True)
    )
    return "10X98765432"[total % 11] == card[17].upper()


def _passes_luhn(number: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _after_order(text: str, start: int) -> bool:
    return _ORDER.search(text[max(0, start - 12) : start]) is not None


def _identity_cards(text: str) -> Iterator[PersonalData]:
    for match in _IDENTITY_CARD.finditer(text):
        region, born, tail = match.groups()
        if region[:2] not in _ADMINISTRATIVE_REGIONS or not _is_date(born):
            continue
        # A card number with a slip of the pen is still one; an order number that looks alike is not.
        if _has_check_digit(region + born + tail) or not _after_order(text, match.start()):
            yield PersonalData("identity_card", match.span())
    for match in _OLD_IDENTITY_CARD.finditer(text):
        region, born = match.groups()
        if (
            region[:2] in _ADMINISTRATIVE_REGIONS
            and _is_date("19" + born)
            and not _after_order(text, match.start())
        ):
            yield PersonalData("identity_card", match.span())
    for match in _TOLD_IDENTITY.finditer(text):
        yield PersonalData("identity_card", match.span(1))


def _bank_cards(text: str) -> Iterator[PersonalData]:
    for match in _BANK_CARD.finditer(text):
        number = re.sub("[^0-9]", "", match.group())
        # Luhn lets one order number in ten through, hence the second condition.
        if _passes_luhn(number) and not _after_order(text, match.start()):
            yield PersonalData("bank_card", match.span())
    for match in _TOLD_BANK_CARD.finditer(text):
        yield PersonalData("bank_card", match.span(1))


def _phones(text: str) -> Iterator[PersonalData]:
    for match in _MOBILE.finditer(text):
        if not _after_order(text, match.start()):
            yield PersonalData("mobile", match.span())
    for match in _TOLD_PHONE.finditer(text):
        yield PersonalData("mobile", match.span(1))
    for match in _LANDLINE.finditer(text):
        yield PersonalData("landline", match.span())
    for match in _LOCAL_LANDLINE.finditer(text):
        yield PersonalData("landline", match.span(1))


def _numbers(text: str) -> Iterator[PersonalData]:
    yield from _identity_cards(text)
    yield from _bank_cards(text)
    yield from _phones(text)
    for match in _TOLD_DOCUMENT.finditer(text):
        yield PersonalData("document", match.span(1))


def _plates(text: str) -> Iterator[PersonalData]:
    for match in _PLATE.finditer(text):
        # A plate has at least two digits; 京ABCDE is a word.
        if sum(map(str.isdigit, match.group())) >= 2:
            yield PersonalData("plate", match.span())
    for match in _TOLD_PLATE.finditer(text):
        yield PersonalData("plate", match.span(1))


# --- names --------------------------------------------------------------------------------------

_HAN: Final = re.compile("[\u4e00-\u9fff]")
# Strong: what follows is a name if it looks at all like one.
_INTRODUCED: Final = re.compile(
    "(?:我的?名字[叫是]?|我叫|本人叫|他叫|她叫|名叫|名为|真名|署名|签名|姓名|联系人|经办人|投诉人|举报人|反映人"
    "|来电人|来信人|申请人|当事人|负责人|报修人|求助人|咨询人|建议人|诉求人|房主|户主|业主姓名|患者|法人代表?"
    "|法定代表人|老板叫|店主叫|司机叫)(?:姓名)?(?P<mark>[ ]?[:：][ ]?|[叫是为])?"
)
# A letter's end: 此致 敬礼 and the name.
_SIGNED: Final = re.compile("(?:此致|敬礼|敬上)[!！,，。 \n　]*(?P<mark>)")
# Weak: only if it consists of name characters and ends at a mark.
_SELF: Final = re.compile("(?:我是|本人是?|我系|本人系)(?P<mark>)")
_SURNAME: Final = re.compile("[我人他她者员主的方，,：: ]姓(?![名氏甚啥])")
_TITLE: Final = re.compile("|".join(PERSON_TITLES))
_LIST_MARK: Final = re.compile("[、,， ]")
_ENDS_SELF: Final = re.compile("[,，。.!！;；、 （(\n]|身份证|电话|手机|家住|住|男|女|今年|现年|$")


def _name_at(text: str, start: int, *, strict: bool) -> int:
    """Return the end of the name that begins at ``start``, or ``start`` if there is none.

    ``strict`` demands that every given character be common in names.
    """
    if text[start : start + 2] in COMPOUND_SURNAMES:
        given = start + 2
    elif text[start : start + 1] in SURNAMES:
        given = start + 1
    else:
        return start
    for size in (2, 1):
        end = given + size
        name = text[given:end]
        if len(name) < size or not all(map(_HAN.match, name)):
            continue
        if name[-1] in AFTER_NAME or text[start:end] in NOT_NAMES or "某" in name:
            continue
        if text[start - 1 : given] == "为何" or text[end : end + 1] in PLACE_ENDINGS:
            return start
        if any(name.endswith(title) or text.startswith(title, end - 1) for title in PERSON_TITLES):
            continue
        if name[0] in AFTER_NAME and name[0] not in GIVEN_NAME_CHARACTERS:
            continue
        common = GIVEN_NAME_CHARACTERS.issuperset(name)
        follower = text[end : end + 1]
        finished = _HAN.match(follower) is None or follower in AFTER_NAME
        if common or (finished and not strict):
            return end
    return start


def _introduced_names(text: str) -> Iterator[PersonalData]:
    for pattern in (_INTRODUCED, _SIGNED):
        for match in pattern.finditer(text):
            start = match.end()
            strict = not match["mark"] and not match.group().endswith(("叫", "名为"))
            end = _name_at(text, start, strict=strict)
            # A list of names may follow a colon: 投诉人：张三、李四.
            while end > start:
                yield PersonalData("name", (start, end))
                if _LIST_MARK.match(text, end) is None:
                    break
                start = end + 1
                end = _name_at(text, start, strict=True)


def _self_names(text: str) -> Iterator[PersonalData]:
    for match in _SELF.finditer(text):
        start = match.end()
        end = _name_at(text, start, strict=True)
        if end > start and _ENDS_SELF.match(text, end) is not None:
            yield PersonalData("name", (start, end))


def _titled_names(text: str) -> Iterator[PersonalData]:
    for match in _TITLE.finditer(text):
        end = match.start()
        for size in (4, 3, 2):
            start = end - size
            if start < 0 or _name_at_exactly(text, start, end) is False:
                continue
            before = text[start - 1 : start]
            if size > 2 or _HAN.match(before) is None or before in BEFORE_NAME:
                yield PersonalData("name", (start, end))
                break


def _name_at_exactly(text: str, start: int, end: int) -> bool:
    """Tell whether ``text[start:end]`` is a surname with common given characters."""
    given = start + (2 if text[start : start + 2] in COMPOUND_SURNAMES else 1)
    return (
        (given > start + 1 or text[start] in SURNAMES)
        and 1 <= end - given <= 2
        and GIVEN_NAME_CHARACTERS.issuperset(text[given:end])
        and text[start:end] not in NOT_NAMES
        and text[start : start + 2] not in NOT_NAMES
    )


_MOST_REPEATED: Final = 64


def _repeated_names(text: str, found: Iterable[PersonalData]) -> Iterator[PersonalData]:
    """Find where a name of three characters or more is said again without introduction."""
    names = {text[slice(*item.span)] for item in found if item.kind == "name"}
    # The bound keeps a register of thousands of names from taking quadratic time.
    for name in sorted(name for name in names if len(name) > 2)[:_MOST_REPEATED]:
        for match in re.finditer(name, text):
            yield PersonalData("name", match.span())


def _names(text: str) -> Iterator[PersonalData]:
    yield from _introduced_names(text)
    yield from _self_names(text)
    for match in _SURNAME.finditer(text):
        start = match.end()
        if text[start : start + 2] in COMPOUND_SURNAMES:
            yield PersonalData("surname", (start, start + 2))
        elif text[start : start + 1] in SURNAMES:
            yield PersonalData("surname", (start, start + 1))


# --- the whole ----------------------------------------------------------------------------------

# Cheap tests that spare most tickets the patterns above.
_LONG_NUMBER: Final = re.compile(r"[0-9０-９](?:[-—－–‐·.．。 　()（）,，、]{0,2}[0-9０-９]){4}")
_ACCOUNT_CUE: Final = re.compile("[微薇威扣wWvVqQｗｖｑＷＶＱ][信扣xXqQeEｘｑＸＱ]")
_PLATE_CUE: Final = HeadedPattern(
    f"{_PROVINCES}军空海北沈兰济南广成牌车A-Z使0-9",
    f"[{_PROVINCES}W军空海北沈兰济南广成] ?[A-Za-zＡ-Ｚ]|[牌车]照?号|[A-Z][A-Z][·•][0-9]|使[0-9]|[0-9]使",
)
_NAME_CUE: Final = HeadedPattern(
    "我本他她名姓署签真联经投举反来申当负报求咨建诉房户患法板主机此敬",
    "[我本他她][叫是人系的]|名[叫为字]|[姓署签真]名|[联经投举反来申当负报求咨建诉]系?[办诉报映电信请事责修助询议求]?人"
    "|[房户]主|患者|法[人定]|[板主机]叫|此致|敬[礼上]|姓",
)
_WIDE_MARKS: Final = tuple((chr(0xFEE0 + ord(mark)), mark) for mark in ",!?:;()")


def _merge(found: Iterable[PersonalData]) -> tuple[PersonalData, ...]:
    """Order by place and unite what overlaps; the kind found first wins."""
    merged: list[PersonalData] = []
    for item in sorted(found, key=lambda item: item.span[0]):
        if merged and item.span[0] < merged[-1].span[1]:
            last = merged[-1]
            merged[-1] = PersonalData(last.kind, (last.span[0], max(last.span[1], item.span[1])))
        else:
            merged.append(item)
    return tuple(merged)


def find_personal_data(text: str, norm: NormalisedText | None = None) -> tuple[PersonalData, ...]:
    """Find personal data; never fails, whatever the string holds.

    Parameters
    ----------
    text
        The original text.
    norm
        Its normal form, where it is at hand.

    Returns
    -------
    tuple of PersonalData
        Ordered by place, without overlap; spans are half-open character offsets into ``text``.
    """
    plain = text
    for wide, narrow in _WIDE_MARKS:
        plain = plain.replace(wide, narrow)
    if _WIDE_SIGNS.search(plain) is not None:
        plain = plain.translate(_WIDE)
    found = _search(plain)
    if norm is None:
        norm = normalise(text)
    # Each shows what the other hides: 138嗯1234嗯5678 is a number in the normal form only, an address
    # within a web address in the original only. For most tickets both are the same.
    if norm.text != plain:
        found += [PersonalData(p.kind, norm.original_span(*p.span)) for p in _search(norm.text)]
    return _merge(found) if found else ()


def _search(plain: str) -> list[PersonalData]:
    """Find personal data in a text with ASCII marks and digits; unordered, perhaps overlapping."""
    found: list[PersonalData] = []
    if _LONG_NUMBER.search(plain) is not None:
        found += _numbers(plain)
    if _CHINESE_RUN.search(plain) is not None:
        found += _phones(plain.translate(_CHINESE_DIGITS))
    if "@" in plain:
        found += (PersonalData("email", match.span()) for match in _EMAIL.finditer(plain))
    if _ACCOUNT_CUE.search(plain) is not None:
        found += (PersonalData("account", match.span(1)) for match in _ACCOUNT.finditer(plain))
    if _PLATE_CUE.occurs(plain):
        found += _plates(plain)
    if _NAME_CUE.occurs(plain):
        found += _names(plain)
    found += _titled_names(plain)
    if found:
        found += list(_repeated_names(plain, found))
    return found


def redact(text: str, found: Iterable[PersonalData] | None = None) -> str:
    """Mask personal data with ``*``, length for length.

    A name keeps its surname (张**), a surname after 姓 becomes 某.

    Parameters
    ----------
    text
        The original text.
    found
        What to mask; by default what :func:`find_personal_data` finds.

    Returns
    -------
    str
        As long as ``text``, so spans of ``text`` are valid in it.
    """
    if found is None:
        found = find_personal_data(text)
    pieces: list[str] = []
    done = 0
    for item in sorted(found, key=lambda item: item.span):
        start, end = item.span
        start = max(start, done)
        if item.kind == "name":
            start += 2 if text[start : start + 2] in COMPOUND_SURNAMES else 1
        if end <= start:
            continue
        pieces += (text[done:start], ("某" if item.kind == "surname" else "*") * (end - start))
        done = end
    return "".join(pieces) + text[done:] if pieces else text
