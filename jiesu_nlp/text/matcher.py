"""Find many fixed words in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class WordMatcher:
    """An Aho-Corasick automaton over a list of words; of overlapping words the longest wins."""

    __slots__ = ("_automaton", "words")

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._automaton = AhoCorasick(
            list(self.words),
            matchkind=MatchKind.LeftmostLongest,
            implementation=Implementation.DFA,
        )

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Return ``(index of the word, start, end)`` in order, in characters, half-open."""
        try:
            return self._automaton.find_matches_as_indexes(text)
        except UnicodeEncodeError:  # a lone surrogate has no place in UTF-8
            return self._automaton.find_matches_as_indexes(_SURROGATES.sub("\ufffd", text))
