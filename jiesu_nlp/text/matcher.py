"""Find many fixed words, or the places where a long pattern begins, in one quick pass."""

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


class HeadedPattern:
    """A pattern with the characters that its matches begin with.

    ``re`` tries a pattern that begins with alternatives or looks back at every character of a text;
    to the first character of a class it runs several times faster.

    Parameters
    ----------
    heads
        Inside of a character class; every match of ``pattern`` begins with one of it.
    pattern
        What is looked for; never matches the empty string.
    seconds
        Likewise what the second character can be, for heads that are common characters.
    """

    __slots__ = ("_quick", "plain")

    def __init__(self, heads: str, pattern: str, *, seconds: str = "") -> None:
        self.plain: Final = re.compile(pattern)
        # Having run to a head, look whether the pattern begins with it.
        second = f"(?=[{seconds}])" if seconds else ""
        self._quick: Final = re.compile(f"[{heads}]{second}(?<=(?=({pattern}))(?s:.))")

    def occurs(self, text: str) -> bool:
        """Tell whether ``plain.search`` finds anything."""
        return self._quick.search(text) is not None

    def find(self, text: str) -> list[re.Match[str]]:
        """Return what ``plain.finditer`` finds; group 1 of each is the match."""
        found: list[re.Match[str]] = []
        done = 0
        for match in self._quick.finditer(text):
            if match.start() >= done:
                found.append(match)
                done = match.end(1)
        return found
