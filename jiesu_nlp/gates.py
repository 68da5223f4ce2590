"""Gates (分流): what 条例 Art. 11 ¶3 says of a ticket before it is dispatched.

A gate *advises* with its article and wording; it never drops a ticket. Gates are data
(``taxonomy/rules/gates.yaml``): words that raise them, further groups of words that must stand
close by, words nearby that call them off (“上次着火后…”), the article, and what to tell the caller.
What to tell where the scorer raised the gate (:mod:`jiesu_nlp.gate_scorer`) stands there too.

All words of all gates are found in one pass; a text without any of them costs nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ahocorasick_rs import AhoCorasick, Implementation

from jiesu_nlp.suggestion import GateAdvice, Span
from jiesu_nlp.vocabulary import Gate
from jiesu_nlp.yaml_nodes import YamlNode, compose_file, required

GATES_YAML = "gates.yaml"
_FIELDS = frozenset(
    (
        "id",
        "kind",
        "leaf",
        "article",
        "advice",
        "words",
        "with",
        "need",
        "reach",
        "unless",
        "despite",
        "window",
        "before",
        "after",
        "sure",
    )
)
_ADVICE_FIELDS = frozenset(
    ("kind", "line", "article", "advice", "words", "leaf", "unless", "despite")
)
LINES = ("110", "119", "120", "122", "gas")
REFUSALS = tuple(gate for gate in Gate if gate not in (Gate.NONE, Gate.EMERGENCY))
_TAG_FIELDS = frozenset(("tag", "words", "before", "after"))
_SENTENCE_ENDS = "。！？!?\n；;"
_LIST = "$"
_WINDOW = 14
_REACH = 40
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class GateRule:
    """One gate.

    Attributes
    ----------
    words
        Any of them raises the gate.
    accompany
        Of every group one word must stand in the same sentence, at most ``reach`` characters away.
    need
        So many of the groups are enough; 0 means all.
    unless
        Any of them in the same sentence within ``window`` characters of the word calls it off …
    despite
        … unless one of these (现在, 正在) stands as close.
    leaf
        Catalogue codes of matters that are such a case by nature: with one of them as the sure
        best leaf the gate is raised even without its words (see :meth:`GateBook.of_leaf`).
    before, after
        The word does not count right behind one of ``before`` or right in front of one of
        ``after`` (没有‖起火, 燃气泄漏‖报警器).
    sure
        Its words together are so specific that the emergency scorer is not asked
        (:mod:`jiesu_nlp.gate_scorer`).
    """

    id: str
    kind: str
    article: str
    advice: str
    words: tuple[str, ...]
    accompany: tuple[tuple[str, ...], ...] = ()
    need: int = 0
    reach: int = _REACH
    unless: tuple[str, ...] = ()
    despite: tuple[str, ...] = ()
    window: int = _WINDOW
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    leaf: tuple[str, ...] = ()
    sure: bool = False

    @property
    def needs_scorer(self) -> bool:
        """Whether a low score of the whole text silences it."""
        return self.kind == Gate.EMERGENCY.value and not self.sure

    def failure(self, text: str, start: int, end: int) -> tuple[str, str] | None:
        """Return which field calls a word of this gate off, and by what; ``None`` if it holds."""
        if self.before:
            for word in self.before:
                if text.endswith(word, 0, start):
                    return "before", word
        if self.after:
            for word in self.after:
                if text.startswith(word, end):
                    return "after", word
        left = max(text.rfind(mark, 0, start) for mark in _SENTENCE_ENDS) + 1
        right = min(
            (at for at in (text.find(mark, end) for mark in _SENTENCE_ENDS) if at >= 0),
            default=len(text),
        )
        if self.accompany:
            part = text[max(left, start - self.reach) : min(right, end + self.reach)]
            found = 0
            missing = ""
            for group in self.accompany:
                if any(word in part for word in group):
                    found += 1
                else:
                    missing = missing or group[0]
            if found < (self.need or len(self.accompany)):
                return "with", missing
        if self.unless:
            near = text[max(left, start - self.window) : min(right, end + self.window)]
            for word in self.unless:
                if word in near:
                    if any(now in near for now in self.despite):
                        return None
                    return "unless", word
        return None


@dataclass(frozen=True, slots=True)
class SensitiveTag:
    """A mark for tickets to be handled with care."""

    tag: str
    words: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def holds(self, text: str, start: int, end: int) -> bool:
        """Whether a word of the tag counts where it stands."""
        return not (
            (self.before and text.endswith(self.before, 0, start))
            or (self.after and text.startswith(self.after, end))
        )


@dataclass(frozen=True, slots=True)
class Advice:
    """What to tell a caller whose words as a whole raised a gate, or whose matter does.

    Attributes
    ----------
    kind
        The line an emergency is for (``110 119 120 122 gas``), or the gate itself.
    line
        Number of the line to call, of an emergency.
    words
        One of them must stand in the stretch that raised the gate; the last advice of a kind has
        none and is for the rest.
    leaf
        Catalogue codes of matters that are such a case by nature: see :meth:`GateBook.of_leaf`.
    unless, despite
        As of a gate, anywhere in the stretch that raised it.
    """

    kind: str
    article: str
    advice: str
    line: str = ""
    words: tuple[str, ...] = ()
    leaf: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    despite: tuple[str, ...] = ()

    @property
    def gate(self) -> str:
        """The gate it belongs to."""
        return Gate.EMERGENCY.value if self.kind in LINES else self.kind

    def called_off(self, text: str) -> str | None:
        """Return the word of a stretch that calls it off, if any does."""
        if any(word in text for word in self.despite):
            return None
        return next((word for word in self.unless if word in text), None)


@dataclass(frozen=True, slots=True)
class GateTrial:
    """A word of a gate that was found, and what called it off (``None`` if nothing did)."""

    gate: GateRule
    span: Span
    failed: str | None
    by: str | None


@dataclass(frozen=True)
class GateBook:
    """All gates in order of precedence, and the sensitive tags."""

    gates: tuple[GateRule, ...]
    tags: tuple[SensitiveTag, ...]
    advices: tuple[Advice, ...] = ()

    def advice_for(self, kind: str, text: str) -> Advice | None:
        """Return what to tell of a kind of case, the first whose words stand in the stretch."""
        for advice in self.advices:
            if advice.kind == kind and (
                not advice.words or any(word in text for word in advice.words)
            ):
                return advice
        return None

    @cached_property
    def _automaton(self) -> tuple[Any, tuple[tuple[int, ...], ...]]:
        owners: dict[str, list[int]] = {}
        words_of = [g.words for g in self.gates] + [t.words for t in self.tags]
        for i, group in enumerate(words_of):
            for word in group:
                owners.setdefault(word, []).append(i)
        words = list(owners)
        automaton = AhoCorasick(words, implementation=Implementation.DFA)
        return automaton, tuple(tuple(owners[w]) for w in words)

    def _hits(self, text: str) -> list[tuple[int, int, int]]:
        automaton, _ = self._automaton
        try:
            found: list[tuple[int, int, int]] = automaton.find_matches_as_indexes(
                text, overlapping=True
            )
        except UnicodeEncodeError:  # a lone surrogate has no place in UTF-8
            found = automaton.find_matches_as_indexes(
                _SURROGATES.sub("\ufffd", text), overlapping=True
            )
        return found

    def examine(self, text: str, *, doubted: bool = False) -> tuple[GateAdvice, tuple[str, ...]]:
        """Return the first gate that holds (spans into ``text``) and the sensitive tags.

        With ``doubted``, when the text as a whole does not sound like danger going on, of the
        emergencies only those gates count that are sure.
        """
        found = self._hits(text)
        if not found:
            return NO_GATE, ()
        owners = self._automaton[1]
        count = len(self.gates)
        first = count
        spans: list[Span] = []
        tags: dict[str, None] = {}
        for word, start, end in found:
            for owner in owners[word]:
                if owner >= count:
                    tag = self.tags[owner - count]
                    if tag.tag not in tags and tag.holds(text, start, end):
                        tags[tag.tag] = None
                elif (
                    owner <= first
                    and not (doubted and self.gates[owner].needs_scorer)
                    and self.gates[owner].failure(text, start, end) is None
                ):
                    if owner < first:
                        first, spans = owner, []
                    spans.append((start, end))
        if first == count:
            return NO_GATE, tuple(tags)
        gate = self.gates[first]
        return GateAdvice(gate.kind, gate.article, gate.advice, _joined(spans)), tuple(tags)

    @cached_property
    def _by_leaf(self) -> dict[str, Advice]:
        owners: dict[str, Advice] = {}
        for gate in self.gates:
            own = Advice(
                gate.kind, gate.article, gate.advice, unless=gate.unless, despite=gate.despite
            )
            for code in gate.leaf:
                owners.setdefault(code, own)
        for advice in self.advices:
            for code in advice.leaf:
                owners.setdefault(code, advice)
        return owners

    @property
    def gate_of_leaf(self) -> Mapping[str, str]:
        """The gate of every leaf that is such a case by nature."""
        return {code: advice.gate for code, advice in self._by_leaf.items()}

    def of_leaf(self, code: str, text: str) -> GateAdvice:
        """Return the advice for a text whose matter is surely ``code`` though no word said so.

        What calls the gate off (上次, 怕, 如果) does so here wherever it stands in the text.
        """
        advice = self._by_leaf.get(code)
        if advice is None or advice.called_off(text) is not None:
            return NO_GATE
        return GateAdvice(advice.gate, advice.article, advice.advice)

    def trials(self, text: str) -> list[GateTrial]:
        """Every word of a gate that a text holds, with what called it off; for ``--explain``."""
        owners = self._automaton[1]
        trials = []
        for word, start, end in self._hits(text):
            for owner in owners[word]:
                if owner < len(self.gates):
                    failed, by = self.gates[owner].failure(text, start, end) or (None, None)
                    trials.append(GateTrial(self.gates[owner], (start, end), failed, by))
        order = {gate.id: i for i, gate in enumerate(self.gates)}
        return sorted(trials, key=lambda t: (order[t.gate.id], t.span))

    def to_json(self) -> dict[str, Any]:
        """Return plain rows for a bundle."""
        return {
            "gates": [asdict(g) for g in self.gates],
            "tags": [asdict(t) for t in self.tags],
            "advices": [asdict(a) for a in self.advices],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateBook:
        """Rebuild from :meth:`to_json`."""
        return cls(
            tuple(GateRule(**_tuples(row)) for row in data["gates"]),
            tuple(SensitiveTag(**_tuples(row)) for row in data["tags"]),
            tuple(Advice(**_tuples(row)) for row in data["advices"]),
        )


NO_GATE = GateAdvice()


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    def frozen(value: Any) -> Any:
        return tuple(frozen(v) for v in value) if isinstance(value, list | tuple) else value

    return {name: frozen(value) for name, value in row.items()}


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Merge overlapping spans, in order."""
    merged: list[Span] = []
    for start, end in sorted(set(spans)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


class _Reader:
    """Reads one ``gates.yaml``; its named lists stand in for their words (``$已过去``)."""

    def __init__(self, root: YamlNode) -> None:
        parts = root.items(frozenset(("lists", "gates", "advice", "sensitive")))
        self.lists: dict[str, tuple[str, ...]] = {}
        if "lists" in parts:
            for node in parts["lists"].sequence("lists"):
                entry = node.items(frozenset(("name", "words")))
                name = required(entry, "name", node).text("name")
                if name in self.lists:
                    raise node.error(f"词表 {name} 重复", field="name", remedy="合并两处")
                self.lists[name] = self.words(required(entry, "words", node), "words")
        gates: dict[str, GateRule] = {}
        for node in required(parts, "gates", root).sequence("gates"):
            gate = self.gate(node)
            if gate.id in gates:
                raise node.error(f"分流编号 {gate.id} 重复", field="id", remedy="换一个新编号")
            gates[gate.id] = gate
        tags = parts["sensitive"].sequence("sensitive") if "sensitive" in parts else ()
        advices: list[Advice] = []
        for node in parts["advice"].sequence("advice") if "advice" in parts else ():
            advice = self.advice(node)
            if any(a.kind == advice.kind and not a.words for a in advices):
                raise node.error(
                    f"{advice.kind} 的前一条提示没有 words，这一条永远轮不到",
                    field="kind",
                    remedy="把没有 words 的一条放到同类的最后",
                )
            advices.append(advice)
        for kind in dict.fromkeys(advice.kind for advice in advices):
            if all(a.words for a in advices if a.kind == kind):
                raise parts["advice"].error(
                    f"{kind} 缺少没有 words 的一条提示",
                    field="advice",
                    remedy="在同类最后补一条不写 words 的，供其余情形用",
                )
        self.book = GateBook(
            tuple(gates.values()), tuple(self.tag(node) for node in tags), tuple(advices)
        )

    def words(self, node: YamlNode, field: str) -> tuple[str, ...]:
        """Read words; ``$name`` stands for the words of a list."""
        found: dict[str, None] = {}
        for child in node.sequence(field):
            word = child.text(field)
            if not word:
                raise child.error("词不能为空", field=field, remedy="删去空词")
            if not word.startswith(_LIST):
                found[word] = None
                continue
            if word[1:] not in self.lists:
                raise child.error(
                    f"没有词表“{word}”",
                    field=field,
                    remedy=f"已有词表：{'、'.join(self.lists) or '无'}；须写在使用处之前",
                )
            found.update(dict.fromkeys(self.lists[word[1:]]))
        return tuple(found)

    def optional(self, parts: Mapping[str, YamlNode], name: str) -> tuple[str, ...]:
        """Read a list of words that may be left out."""
        return self.words(parts[name], name) if name in parts else ()

    def groups(self, node: YamlNode) -> tuple[tuple[str, ...], ...]:
        """Read one group of words, or a list of groups."""
        nested = list(node.sequence("with"))
        if nested and all(child.is_sequence for child in nested):
            return tuple(self.words(child, "with") for child in nested)
        return (self.words(node, "with"),)

    def gate(self, node: YamlNode) -> GateRule:
        parts = node.items(_FIELDS)
        kind = required(parts, "kind", node).text("kind")
        if kind not in frozenset(Gate) or kind == Gate.NONE:
            known = "、".join(sorted(frozenset(Gate) - {Gate.NONE}))
            raise parts["kind"].error(
                f"不认识的分流类型“{kind}”", field="kind", remedy=f"可用：{known}"
            )
        words = self.words(required(parts, "words", node), "words")
        if not words:
            raise parts["words"].error("至少写一个词", field="words", remedy="补上触发词")

        return GateRule(
            id=required(parts, "id", node).text("id"),
            kind=kind,
            article=required(parts, "article", node).text("article"),
            advice=required(parts, "advice", node).text("advice"),
            words=words,
            accompany=self.groups(parts["with"]) if "with" in parts else (),
            need=_number(parts, "need", 0),
            reach=_number(parts, "reach", _REACH),
            unless=self.optional(parts, "unless"),
            despite=self.optional(parts, "despite"),
            window=_number(parts, "window", _WINDOW),
            before=self.optional(parts, "before"),
            after=self.optional(parts, "after"),
            leaf=parts["leaf"].texts("leaf") if "leaf" in parts else (),
            sure=_flag(parts, "sure"),
        )

    def advice(self, node: YamlNode) -> Advice:
        parts = node.items(_ADVICE_FIELDS)
        kind = required(parts, "kind", node).text("kind")
        known = (*LINES, *REFUSALS)
        if kind not in known:
            raise parts["kind"].error(
                f"不认识的类型“{kind}”", field="kind", remedy=f"可用：{'、'.join(known)}"
            )

        return Advice(
            kind=kind,
            article=required(parts, "article", node).text("article"),
            advice=required(parts, "advice", node).text("advice"),
            line=required(parts, "line", node).text("line") if kind in LINES else "",
            words=self.optional(parts, "words"),
            leaf=parts["leaf"].texts("leaf") if "leaf" in parts else (),
            unless=self.optional(parts, "unless"),
            despite=self.optional(parts, "despite"),
        )

    def tag(self, node: YamlNode) -> SensitiveTag:
        parts = node.items(_TAG_FIELDS)
        return SensitiveTag(
            required(parts, "tag", node).text("tag"),
            self.words(required(parts, "words", node), "words"),
            self.optional(parts, "before"),
            self.optional(parts, "after"),
        )


def _number(parts: Mapping[str, YamlNode], name: str, default: int) -> int:
    if name not in parts:
        return default
    text = parts[name].text(name)
    if not text.isdigit() or not int(text):
        raise parts[name].error(f"“{text}”不是正整数", field=name, remedy="写字数，如 12")
    return int(text)


def _flag(parts: Mapping[str, YamlNode], name: str) -> bool:
    if name not in parts:
        return False
    text = parts[name].text(name)
    if text not in ("true", "false"):
        raise parts[name].error(f"“{text}”不是 true 或 false", field=name, remedy="写 true 或删去")
    return text == "true"


def read_gates(directory: Path) -> GateBook:
    """Read ``gates.yaml``.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    return _Reader(compose_file(directory / GATES_YAML)).book
