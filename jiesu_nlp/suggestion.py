"""The answer: frozen dataclasses whose ``to_dict`` is the JSON contract of the whole product.

Every ``span`` is a half-open pair of character offsets into the *original* text. Redaction masks
length for length, so the same spans are valid in ``redacted_text``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

Span = tuple[int, int]


def _json_name(f: Any) -> str:
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


_NAMES: dict[type, tuple[tuple[str, str], ...]] = {}


def _names_of(cls: type) -> tuple[tuple[str, str], ...]:
    names = _NAMES.get(cls)
    if names is None:
        names = tuple((f.name, _json_name(f)) for f in fields(cls))
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


def _schema_of(annotation: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin = get_origin(annotation)
    args = get_args(annotation)
    if origin in (Union, UnionType):
        parts = [_schema_of(a, defs) for a in args]
        return {"anyOf": parts}
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": _schema_of(args[0], defs)}
        return {
            "type": "array",
            "prefixItems": [_schema_of(a, defs) for a in args],
            "minItems": len(args),
            "maxItems": len(args),
        }
    if isinstance(annotation, type) and is_dataclass(annotation):
        name = annotation.__name__
        if name not in defs:
            defs[name] = {}
            hints = get_type_hints(annotation)
            defs[name] = {
                "type": "object",
                "description": (annotation.__doc__ or "").strip().splitlines()[0],
                "properties": {
                    _json_name(f): _schema_of(hints[f.name], defs) for f in fields(annotation)
                },
                "required": [_json_name(f) for f in fields(annotation)],
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
    return {"type": simple[annotation]}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of :meth:`Suggestion.to_dict`."""
    defs: dict[str, Any] = {}
    root = _schema_of(Suggestion, defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "派单建议 Suggestion",
        **root,
        "$defs": defs,
    }
