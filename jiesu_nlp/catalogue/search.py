"""Find leaves by name, pinyin initials or meaning."""

from __future__ import annotations

from functools import lru_cache

from pypinyin import Style, lazy_pinyin

from jiesu_nlp.catalogue.model import Catalogue, Leaf


@lru_cache(maxsize=8192)
def initials(name: str) -> str:
    """Return the pinyin initials of a name: 占道经营 → ``zdjy``."""
    return "".join(lazy_pinyin(name, style=Style.FIRST_LETTER)).lower()


def search(catalogue: Catalogue, words: str, *, most: int = 15) -> list[Leaf]:
    """Return the leaves that fit best.

    A code or part of a name comes first, then pinyin initials, then overlap of the words with
    definition and ``says`` (for whole sentences ``jiesu suggest`` is the better judge).
    """
    query = words.strip()
    if not query:
        return []
    scored: list[tuple[float, str, Leaf]] = []
    lowered = query.lower()
    grams = {query[i : i + 2] for i in range(len(query) - 1)} or {query}
    for leaf in catalogue.leaves:
        score = 0.0
        if leaf.code.startswith(query):
            score = 10.0
        elif query in leaf.name:
            score = 5.0 + len(query) / len(leaf.name)
        elif lowered.isascii() and lowered.isalpha() and lowered in initials(leaf.name):
            score = 3.0 + len(lowered) / len(leaf.name)
        else:
            shared = sum(g in leaf.name for g in grams) * 2 + sum(
                g in leaf.definition for g in grams
            )
            told = max((sum(g in say for g in grams) for say in leaf.says), default=0)
            score = (shared + told) / (4 * len(grams))
        if score > 0.2:
            scored.append((-score, leaf.code, leaf))
    return [leaf for _, _, leaf in sorted(scored, key=lambda s: s[:2])[:most]]
