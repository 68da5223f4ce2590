r"""Normalise: one spelling for everything that means the same, with a way back to the original.

``normalise(text).text`` is NFKC (so ``，！？：；（）`` and full-width letters become ASCII, while
``。、“”《》`` stay), simplified, without control and zero-width characters, emoji and web addresses,
without fillers of speech recognition, with single spaces and single punctuation marks. Line breaks
survive as single ``\n``: the first line of a letter is often its title.

Offsets are counted in characters (code points) of Python strings, spans are half-open.
Most tickets only need one-to-one replacements: these take the fast path and carry no offset table.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jiesu_nlp.suggestion import Span
from jiesu_nlp.text.hanzi import SIMPLIFIED, TRADITIONAL
from jiesu_nlp.text.matcher import HeadedPattern


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """A text and the way back to its original.

    Attributes
    ----------
    original
        The text as it came in.
    text
        The normalised text.
    offsets
        ``offsets[i]`` is where normalised character ``i`` begins in ``original``; one more entry
        at the end holds the end of the last character. ``None`` means that both texts have the
        same offsets.
    ends
        ``ends[i]`` is where normalised character ``i`` ends in ``original``; ``None`` as above.
        It differs from ``offsets[i + 1]`` where something was left out after the character.
    """

    original: str
    text: str
    offsets: array[int] | None = None
    ends: array[int] | None = None

    def original_span(self, start: int, end: int) -> Span:
        """Map a span of ``text`` to the span of ``original`` that it came from.

        Parameters
        ----------
        start, end
            Half-open span in ``text``; values outside the text are clipped.

        Returns
        -------
        Span
            Half-open span in ``original``; empty where ``start >= end``. Both bounds grow
            monotonically with the arguments.
        """
        size = len(self.text)
        start = min(max(start, 0), size)
        end = min(max(end, start), size)
        if self.offsets is None or self.ends is None:
            return start, end
        first = self.offsets[start]
        return (first, self.ends[end - 1]) if end > start else (first, first)


# --- one-to-one replacements --------------------------------------------------------------------

# The punctuation that nearly every ticket has; str.replace beats str.translate many times over.
_COMMON_WIDE: Final = tuple((chr(0xFEE0 + ord(c)), c) for c in ",!?:;()")
_WIDE: Final = {0xFEE0 + code: chr(code) for code in range(0x21, 0x7F)} | {0x3000: " "}
_HANZI: Final = {ord(old): new for old, new in zip(TRADITIONAL, SIMPLIFIED, strict=True)}
# Written for a pause in speech as much as for an ellipsis; NFKC would make it three full stops.
_ONE_TO_ONE: Final = _HANZI | _WIDE | {ord("…"): "。", ord("\t"): " ", 0xA0: " "}
_HAS_ONE_TO_ONE: Final = re.compile("[" + "".join(map(chr, _ONE_TO_ONE)) + "]")
_DRY: Final = re.compile("乾(?![隆坤清陵])")

# --- what needs the slow path -------------------------------------------------------------------

# Everything but printable ASCII, line feed, common Han and the punctuation that NFKC leaves alone.
_PLAIN: Final = " -~\n\u4e00-\u9fff·×°—‘’“”、。〈〉《》「」『』【】〔〕"
_UNUSUAL: Final = re.compile(f"[^{_PLAIN}]")
# With the plain character before it, because a mark may combine with that.
_UNUSUAL_RUN: Final = re.compile(f"[{_PLAIN}]?[^{_PLAIN}]+")
_WEB_ADDRESS: Final = re.compile(r"(?:https?://|www\.)[A-Za-z0-9_./?=&%#:~+@$'*-]+", re.IGNORECASE)
_WWW: Final = re.compile(r"[Ww][Ww][Ww]\.")
# 嗯 and 呃 are never a word in a ticket; 啊 哦 … only where they stand alone between marks.
_FILLER: Final = HeadedPattern(
    "嗯呃啊哦噢喔诶欸唔那这就",
    "[嗯呃]+[,、 ]?|[啊哦噢喔诶欸唔](?<![^,.。!?、\n ].)[,、]"
    "|(?:那个|这个|就是说?)[,、](?=那个|这个|就是)",
)
# The same word at least twice (pronouns and the like: three times) is a stutter; the longer list
# of words that may be doubled (看看, 天天, 好好) is why only these are touched.
_STUTTER: Final = re.compile(
    r"那个(?:[,、 ]?那个)+|这个(?:[,、 ]?这个)+|就是(?:[,、 ]?就是)+|然后(?:[,、 ]?然后)+"
    r"|我们(?:[,、 ]?我们)+|他们(?:[,、 ]?他们)+|我我我+|他他他+|你你你+|是是是+|这这这+|那那那+"
    r"|就就就+|在在在+|不不不+|有有有+|急急急+"
)
_STUTTER_UNIT: Final = re.compile("那个|这个|就是|然后|我们|他们|.", re.DOTALL)
_REPEATED_MARK: Final = HeadedPattern(
    "-!?,。;~、.=_#+", "[!?,。;~、.][!?,。;~、.]+|[-=_#+][-=_#+][-=_#+]+"
)
_SPACES: Final = re.compile("[ \n]*\n[ \n]*|  +")
# Characters that leave no trace: soft hyphen, zero-width, direction marks, variation selectors.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# NFKC alone would turn ① into a bare digit and so hide that it heads an item of a list.
_CIRCLED: Final = {chr(0x2460 + i): f"({i + 1})" for i in range(20)}
# Longer piles of combining marks are decoration, and would make composition quadratic.
_MAX_MARKS: Final = 8


def _dirty(text: str) -> bool:
    """Tell whether anything but one-to-one replacements is left to do."""
    return (
        _UNUSUAL.search(text) is not None
        or _REPEATED_MARK.occurs(text)
        or _FILLER.occurs(text)
        or _STUTTER.search(text) is not None
        or "  " in text
        or ("\n" in text and ("\n\n" in text or " \n" in text or "\n " in text))
        or text[:1] in (" ", "\n")
        or text[-1:] in (" ", "\n")
        or "://" in text
        or _WWW.search(text) is not None
    )


class _Draft:
    """A text under work: characters with where each began and ended in the original."""

    __slots__ = ("ends", "starts", "text")

    def __init__(self, text: str, starts: array[int], ends: array[int]) -> None:
        self.text = text
        self.starts = starts
        self.ends = ends

    def replace(self, pattern: re.Pattern[str], replacement: Callable[[str], str]) -> None:
        """Replace each match; every new character stands for the whole match.

        A replacement that is a prefix of what it replaces keeps the offsets of those characters.
        """
        text, starts, ends = self.text, self.starts, self.ends
        pieces: list[str] = []
        new_starts = array("q")
        new_ends = array("q")
        done = 0
        for match in pattern.finditer(text):
            begin, end = match.span()
            old = match.group()
            new = replacement(old)
            if new == old:
                continue
            pieces += (text[done:begin], new)
            new_starts += starts[done:begin]
            new_ends += ends[done:begin]
            if old.startswith(new):
                new_starts += starts[begin : begin + len(new)]
                new_ends += ends[begin : begin + len(new)]
            else:
                new_starts += array("q", [starts[begin]]) * len(new)
                new_ends += array("q", [ends[end - 1]]) * len(new)
            done = end
        if done:
            self.text = "".join(pieces) + text[done:]
            self.starts = new_starts + starts[done:]
            self.ends = new_ends + ends[done:]

    def is_aligned_with(self, original: str) -> bool:
        """Tell whether every character stands where its original stood."""
        size = len(original)
        return (
            len(self.text) == size
            and self.starts == array("q", range(size))
            and self.ends == array("q", range(1, size + 1))
        )

    def strip(self) -> None:
        """Drop blanks at both ends."""
        text = self.text
        left = len(text) - len(text.lstrip(" \n"))
        right = max(len(text.rstrip(" \n")), left)
        self.text = text[left:right]
        self.starts = self.starts[left:right]
        self.ends = self.ends[left:right]


def _cluster(text: str) -> str:
    """Normalise one character together with the marks that combine with it."""
    if text == "\r":
        return "\n"
    if text in _CIRCLED:
        return _CIRCLED[text]
    plain = unicodedata.normalize("NFKC", text[: _MAX_MARKS + 1]).translate(_ONE_TO_ONE)
    return "".join(_visible(char) for char in plain)


def _visible(char: str) -> str:
    if _UNUSUAL.match(char) is None:
        return char
    category = unicodedata.category(char)
    if category[0] == "M":
        return ""
    # Controls, surrogates, private and unassigned code points, pictures, odd blanks.
    return " " if category[0] in "CZ" or category in ("So", "Sk") else char


def _characters(text: str) -> _Draft:
    """Normalise character by character; the ordinary stretches between are taken over whole."""
    pieces: list[str] = []
    starts = array("q")
    ends = array("q")
    done = 0
    for match in _UNUSUAL_RUN.finditer(text):
        begin, stop = match.span()
        pieces.append(text[done:begin])
        starts.extend(range(done, begin))
        ends.extend(range(done + 1, begin + 1))
        while begin < stop:
            end = begin + 1
            while end < stop and _joins_previous(text[end]):
                end += 1
            new = _cluster(_INVISIBLE.sub("", text[begin:end]))
            pieces.append(new)
            starts.extend([begin] * len(new))
            ends.extend([end] * len(new))
            begin = end
        done = stop
    pieces.append(text[done:])
    starts.extend(range(done, len(text)))
    ends.extend(range(done + 1, len(text) + 1))
    return _Draft("".join(pieces), starts, ends)


def _joins_previous(char: str) -> bool:
    """Tell whether a character combines with the one before it (marks, Hangul vowels and tails)."""
    return "\u1160" <= char <= "\u11ff" or unicodedata.category(char)[0] == "M"


def _one_mark(run: str) -> str:
    """Shorten a run of punctuation to the mark that says most."""
    if run[0] in "-=_#+":
        return run[0]
    for mark in "?!":
        if mark in run:
            return mark
    if run[0] in ".。" and run.strip(".。") == "":
        return "。"
    return run[0]


def normalise(text: str) -> NormalisedText:
    """Bring a text to its normal form; never fails, whatever the string holds.

    Parameters
    ----------
    text
        Any string, lone surrogates included.

    Returns
    -------
    NormalisedText
        The normal form with the map back to ``text``.
    """
    plain = text
    for wide, narrow in _COMMON_WIDE:
        plain = plain.replace(wide, narrow)
    if _HAS_ONE_TO_ONE.search(plain) is not None:
        plain = plain.translate(_ONE_TO_ONE)
    if "乾" in plain:
        plain = _DRY.sub("干", plain)
    if not _dirty(plain):
        return NormalisedText(text, plain)
    draft = _characters(plain)
    draft.replace(_WEB_ADDRESS, lambda _: " ")
    draft.replace(_FILLER.plain, lambda _: "")
    draft.replace(_STUTTER, lambda run: _STUTTER_UNIT.match(run)[0])  # type: ignore[index]
    draft.replace(_REPEATED_MARK.plain, _one_mark)
    draft.replace(_SPACES, lambda run: "\n" if "\n" in run else " ")
    draft.strip()
    if draft.is_aligned_with(text):
        return NormalisedText(text, draft.text)
    draft.starts.append(draft.ends[-1] if draft.ends else 0)
    return NormalisedText(text, draft.text, draft.starts, draft.ends)
