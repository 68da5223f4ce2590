"""The answer: frozen dataclasses whose ``to_dict`` is the JSON contract of the whole product.

Every ``span`` is a half-open pair of character offsets into the *original* text. Redaction masks
length for length, so the same spans are valid in ``redacted_text``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any

Span = tuple[int, int]


def json_name(f: Any) -> str:
    """Return the name of a dataclass field in JSON."""
    return str(f.metadata.get("json", f.name))


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | bool | NoneType):
        return value
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value.to_dict()


class _Record:
    """Mixin: a dataclass that turns itself into plain JSON types, fields in order."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain dicts, lists, strings and numbers."""
        return {name: _plain(getattr(self, attribute)) for attribute, name in _names_of(type(self))}

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        # Half the cost of how frozen dataclasses pickle: suggestions cross process boundaries.
        cls = type(self)
        return cls, tuple(getattr(self, attribute) for attribute, _ in _names_of(cls))


_NAMES: dict[type, tuple[tuple[str, str], ...]] = {}


def _names_of(cls: type) -> tuple[tuple[str, str], ...]:
    names = _NAMES.get(cls)
    if names is None:
        names = tuple((f.name, json_name(f)) for f in fields(cls))
        _NAMES[cls] = names
    return names


@dataclass(frozen=True, slots=True)
class GateAdvice(_Record):
    """分流: what Art. 11 ¶3 advises before dispatch; never drops a ticket."""

    kind: str = "none"
    article: str | None = None
    advice: str | None = None
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Category(_Record):
    """One candidate leaf with its calibrated probability and the words that decided it."""

    code: str
    path: tuple[str, ...]
    confidence: float
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class CategorySet(_Record):
    """Conformal set: contains the right leaf with the stated coverage."""

    codes: tuple[str, ...]
    coverage: float


@dataclass(frozen=True, slots=True)
class LevelOne(_Record):
    """The level-1 class; its probability is the sum over its leaves."""

    code: str
    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class PlaceCandidate(_Record):
    """A place the text may mean."""

    name: str
    district: str | None
    town: str | None
    community: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Place(_Record):
    """Where the matter happened; ``kind`` is a :class:`~jiesu_nlp.vocabulary.PlaceKind`."""

    name: str | None = None
    district: str | None = None
    town: str | None = None
    community: str | None = None
    kind: str = "unknown"
    status: str = "none"
    confidence: float = 0.0
    candidates: tuple[PlaceCandidate, ...] = ()
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit(_Record):
    """A unit in a suggestion: lead, co-unit, copy or losing alternative.

    ``code`` is ``None`` when the class of unit is known but not which one (no place).
    ``confidence`` is the probability that this unit is right; ``None`` where none is estimated.
    """

    code: str | None
    name: str
    unit_class: str = field(metadata={"json": "class"})
    confidence: float | None = None
    rule: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RequestTypeGuess(_Record):
    """诉求类型 with its confidence."""

    value: str
    confidence: float
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadline(_Record):
    """办理时限 with the reason for it; always present (Art. 13)."""

    tier: str
    basis: str


@dataclass(frozen=True, slots=True)
class Element(_Record):
    """A required element of a work order (Art. 10) found in the text."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Elements(_Record):
    """诉求要素: times, facility owners and actors."""

    time: tuple[Element, ...] = ()
    owner: tuple[Element, ...] = ()
    actor: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand(_Record):
    """One matter of a ticket with its own suggestion."""

    span: Span
    categories: tuple[Category, ...]
    category_set: CategorySet
    level1: LevelOne
    place: Place
    unit: Unit
    co_units: tuple[Unit, ...]
    cc: tuple[Unit, ...]
    alternatives: tuple[Unit, ...]
    request_type: RequestTypeGuess
    deadline: Deadline
    elements: Elements
    confidence: float
    decision: str
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flags(_Record):
    """Marks on the ticket as a whole."""

    repeat: bool = False
    enterprise: bool = False
    sensitive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions(_Record):
    """What answered: model, catalogue, rules and places."""

    model: str
    catalogue: str
    rules: str
    places: str


@dataclass(frozen=True, slots=True)
class Suggestion(_Record):
    """派单建议 for one ticket."""

    id: str | None
    gate: GateAdvice
    demands: tuple[Demand, ...]
    flags: Flags
    redacted_text: str
    versions: Versions
    elapsed_ms: float
