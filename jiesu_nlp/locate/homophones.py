"""Names by their sound, for errors of speech recognition and typing (王京 → 望京).

Only asked when no name was found by its spelling, and strict: the sound must be that of one known
name, the characters must be no word of their own, and the words around must speak of a place.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

import rjieba
from pypinyin import Style, pinyin

from jiesu_nlp.locate.gazetteer import KIND_ROW, Gazetteer, KeyFlag
from jiesu_nlp.locate.mentions import Mention

_KINDS: Final = frozenset(KIND_ROW[k] for k in ("town", "area", "station"))
_LONGEST: Final = 5
_HANZI: Final = re.compile("[\u4e00-\u9fff]{2,}")
_FUNCTION: Final = re.compile(
    "[的了是在不有我这那个们下里和就都也很到说要去你会着没看好自己他她吗呢吧啊被把给让对从向与及或]"
)
_FOLLOWS: Final = re.compile(
    "地铁站?|街道|小区|地区|[东西南北]?站|派出所|这边|那边|附近|商圈|社区|[东西南北中][里园街路]|新城"
)
_STRONG_FOLLOWS: Final = re.compile("地铁站?|街道|地区|附近|小区|派出所")
_LEADS: Final = re.compile("(?:在|住|位于|到|去|区|市|京|家住|[,。;:!?\\n ]|^)$")


_SOUND: dict[str, str] = {}


def _sound(text: str) -> tuple[str, ...]:
    """Return the commonest toneless sound of each character.

    Character by character, because asking for the sound of whole sentences takes longer than all
    the rest; a character of two sounds is then read alike in the name and in the text.
    """
    try:
        return tuple([_SOUND[c] for c in text])
    except KeyError:
        for c in text:
            if c not in _SOUND:
                _SOUND[c] = pinyin(c, style=Style.NORMAL)[0][0]
        return tuple([_SOUND[c] for c in text])


class HomophoneIndex:
    """Sounds of the well-known names."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer
        # By the first two sounds: the whole sound and the names that have it.
        self._by_head: dict[tuple[str, ...], dict[tuple[str, ...], set[int]]] = {}
        for key, spelling in enumerate(gazetteer.keys):
            if not 2 <= len(spelling) <= _LONGEST or gazetteer.flags[key] & ~KeyFlag.PLAIN:
                continue
            if not any(gazetteer.kinds[r] in _KINDS for r in gazetteer.rows[key]):
                continue
            if _HANZI.fullmatch(spelling) is not None:
                sound = _sound(spelling)
                self._by_head.setdefault(sound[:2], {}).setdefault(sound, set()).add(key)

    def find(self, text: str) -> Mention | None:
        """Return the first name that the text holds by sound, if any."""
        words: set[tuple[int, int]] | None = None
        for run in _HANZI.finditer(text):
            sounds = _sound(run.group())
            for i, head in enumerate(pairwise(sounds)):
                names = self._by_head.get(head)
                if names is None:
                    continue
                start = run.start() + i
                for length in range(min(_LONGEST, len(sounds) - i), 1, -1):
                    keys = names.get(sounds[i : i + length])
                    end = start + length
                    if keys is None or len(keys) != 1 or _FUNCTION.search(text, start, end):
                        continue
                    words = _words(text) if words is None else words
                    key = next(iter(keys))
                    if self._plausible(text, start, end, key, words):
                        return Mention(start, end, tuple(self._gazetteer.rows[key]), homophone=True)
        return None

    def _plausible(
        self, text: str, start: int, end: int, key: int, words: set[tuple[int, int]]
    ) -> bool:
        spelling = self._gazetteer.keys[key]
        written = text[start:end]
        shared = sum(a == b for a, b in zip(spelling, written, strict=True))
        follows = _FOLLOWS.match(text, end) is not None
        leads = _LEADS.search(text, max(0, start - 2), start) is not None
        if (start, end) in words:
            return False
        if shared:
            return follows or (leads and len(spelling) >= 3)
        return leads and _STRONG_FOLLOWS.match(text, end) is not None


def _words(text: str) -> set[tuple[int, int]]:
    """Return the spans of the words of a text, as a dictionary cuts it."""
    spans: set[tuple[int, int]] = set()
    position = 0
    for word in rjieba.cut(text, False):
        spans.add((position, position + len(word)))
        position += len(word)
    return spans
