"""Gates (分流): what 条例 Art. 11 ¶3 says of a ticket before it is dispatched.

A gate *advises* with its article and wording; it never drops a ticket. Gates are data
(``taxonomy/rules/gates.yaml``): words that raise them, words nearby that call them off
(“上次着火后…”), the article, and what to tell the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ahocorasick_rs

from jiesu_nlp.suggestion import GateAdvice, Span
from jiesu_nlp.vocabulary import Gate
from jiesu_nlp.yaml_nodes import YamlNode, compose_file, required

GATES_YAML = "gates.yaml"
_FIELDS = frozenset(("id", "kind", "article", "advice", "words", "with", "unless", "window"))
_SENTENCE_ENDS = "。！？!?\n；;"


@dataclass(frozen=True, slots=True)
class GateRule:
    """One gate.

    Attributes
    ----------
    words
        Any of them raises the gate.
    accompany
        If given, one of them must stand in the same sentence too.
    unless
        Any of them within ``window`` characters of the word calls it off.
    """

    id: str
    kind: str
    article: str
    advice: str
    words: tuple[str, ...]
    accompany: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    window: int = 12


@dataclass(frozen=True, slots=True)
class SensitiveTag:
    """A mark for tickets to be handled with care."""

    tag: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class GateBook:
    """All gates in order of precedence, and the sensitive tags."""

    gates: tuple[GateRule, ...]
    tags: tuple[SensitiveTag, ...]

    @cached_property
    def _automaton(self) -> tuple[Any, tuple[tuple[int, ...], ...]]:
        owners: dict[str, list[int]] = {}
        for i, gate in enumerate(self.gates):
            for word in gate.words:
                owners.setdefault(word, []).append(i)
        for i, tag in enumerate(self.tags):
            for word in tag.words:
                owners.setdefault(word, []).append(len(self.gates) + i)
        words = list(owners)
        return ahocorasick_rs.AhoCorasick(words), tuple(tuple(owners[w]) for w in words)

    def examine(self, text: str) -> tuple[GateAdvice, tuple[str, ...]]:
        """Return the first gate that holds (spans into ``text``) and the sensitive tags."""
        automaton, owners = self._automaton
        hits: dict[int, list[Span]] = {}
        tags: dict[str, None] = {}
        for word, start, end in automaton.find_matches_as_indexes(text, overlapping=True):
            for owner in owners[word]:
                if owner >= len(self.gates):
                    tags[self.tags[owner - len(self.gates)].tag] = None
                elif _holds(self.gates[owner], text, start, end):
                    hits.setdefault(owner, []).append((start, end))
        if not hits:
            return NO_GATE, tuple(tags)
        first = min(hits)
        gate = self.gates[first]
        return (
            GateAdvice(gate.kind, gate.article, gate.advice, tuple(hits[first])),
            tuple(tags),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain rows for a bundle."""
        return {"gates": [asdict(g) for g in self.gates], "tags": [asdict(t) for t in self.tags]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateBook:
        """Rebuild from :meth:`to_json`."""
        return cls(
            tuple(GateRule(**_tuples(row)) for row in data["gates"]),
            tuple(SensitiveTag(**_tuples(row)) for row in data["tags"]),
        )


NO_GATE = GateAdvice()


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}


def _sentence(text: str, start: int, end: int) -> str:
    left = max(text.rfind(mark, 0, start) for mark in _SENTENCE_ENDS) + 1
    right = min((at for at in (text.find(m, end) for m in _SENTENCE_ENDS) if at >= 0), default=-1)
    return text[left:] if right < 0 else text[left:right]


def _holds(gate: GateRule, text: str, start: int, end: int) -> bool:
    near = text[max(0, start - gate.window) : end + gate.window]
    if any(word in near for word in gate.unless):
        return False
    if not gate.accompany:
        return True
    sentence = _sentence(text, start, end)
    return any(word in sentence for word in gate.accompany)


def _gate(node: YamlNode) -> GateRule:
    fields = node.items(_FIELDS)

    def words(name: str) -> tuple[str, ...]:
        return fields[name].texts(name) if name in fields else ()

    kind = required(fields, "kind", node).text("kind")
    if kind not in frozenset(Gate):
        raise fields["kind"].error(f"不认识的分流类型“{kind}”", field="kind")
    window = fields["window"].text("window") if "window" in fields else "12"
    if not window.isdigit():
        raise fields["window"].error("应为整数", field="window")
    return GateRule(
        id=required(fields, "id", node).text("id"),
        kind=kind,
        article=required(fields, "article", node).text("article"),
        advice=required(fields, "advice", node).text("advice"),
        words=required(fields, "words", node).texts("words"),
        accompany=words("with"),
        unless=words("unless"),
        window=int(window),
    )


def _unique(rules: Iterable[GateRule], root: YamlNode) -> tuple[GateRule, ...]:
    seen: dict[str, GateRule] = {}
    for rule in rules:
        if rule.id in seen:
            raise root.error(f"分流编号 {rule.id} 重复", field="id")
        seen[rule.id] = rule
    return tuple(seen.values())


def read_gates(directory: Path) -> GateBook:
    """Read ``gates.yaml``.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    root = compose_file(directory / GATES_YAML)
    fields = root.items(frozenset(("gates", "sensitive")))
    gates = _unique(map(_gate, required(fields, "gates", root).sequence("gates")), root)
    tags = []
    for node in fields["sensitive"].sequence("sensitive") if "sensitive" in fields else ():
        parts = node.items(frozenset(("tag", "words")))
        tags.append(
            SensitiveTag(
                required(parts, "tag", node).text("tag"),
                required(parts, "words", node).texts("words"),
            )
        )
    return GateBook(gates, tuple(tags))
