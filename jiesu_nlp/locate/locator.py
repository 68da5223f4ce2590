"""Find the incident place in a text."""

from __future__ import annotations

from dataclasses import dataclass

import ahocorasick_rs

from jiesu_nlp.locate.gazetteer import Gazetteer
from jiesu_nlp.suggestion import Place, Span


@dataclass(frozen=True, slots=True)
class LocatedText:
    """All places of one text; asks for the place of a part of it."""

    mentions: tuple[tuple[int, int, str, str], ...]

    def place(self, span: Span | None = None) -> Place:
        """Return the incident place of a span, or of the whole text."""
        found = [m for m in self.mentions if span is None or span[0] <= m[0] < span[1]]
        if not found:
            return Place()
        best = max(found, key=lambda m: (m[3] != "", m[1] - m[0]))
        return Place(
            name=None,
            district=best[2],
            town=best[3] or None,
            status="resolved" if best[3] else "district_only",
            confidence=0.9,
            evidence=((best[0], best[1]),),
        )


class Locator:
    """Longest exact names, by automaton."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._names = list(gazetteer.names)
        self._meaning = gazetteer.names
        self._automaton = ahocorasick_rs.AhoCorasick(
            self._names, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest
        )

    def locate(self, text: str, address: str | None = None) -> LocatedText:
        """Find all places of a text."""
        mentions = []
        for word, start, end in self._automaton.find_matches_as_indexes(text):
            for district, town in self._meaning[self._names[word]]:
                mentions.append((start, end, district, town))
        return LocatedText(tuple(mentions))
