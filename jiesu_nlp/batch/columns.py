"""The result columns: Arrow arrays built straight from suggestions, without a detour by JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jiesu_nlp.batch.extras import arrow
from jiesu_nlp.errors import UsageError
from jiesu_nlp.suggestion import Demand, Suggestion

Value = Callable[[Suggestion, Demand], Any]
SEPARATOR = " › "


@dataclass(frozen=True, slots=True)
class Column:
    """A result column: its name, its kind (a key of ``_types``) and how to read it."""

    name: str
    kind: str
    value: Value


def _candidates(_: Suggestion, d: Demand) -> list[dict[str, Any]]:
    return [{"code": c.code, "confidence": c.confidence} for c in d.categories]


def _others(s: Suggestion, _: Demand) -> list[dict[str, Any]]:
    return [
        {
            "code": d.categories[0].code,
            "confidence": d.categories[0].confidence,
            "unit": d.unit.name,
            "deadline": d.deadline.tier,
            "start": d.span[0],
            "end": d.span[1],
        }
        for d in s.demands[1:]
    ]


COLUMNS = (
    Column("code", "text", lambda s, d: d.categories[0].code),
    Column("path", "text", lambda s, d: SEPARATOR.join(d.categories[0].path)),
    Column("confidence", "number", lambda s, d: d.categories[0].confidence),
    Column("level1_code", "text", lambda s, d: d.level1.code),
    Column("level1_name", "text", lambda s, d: d.level1.name),
    Column("level1_confidence", "number", lambda s, d: d.level1.confidence),
    Column("candidates", "candidates", _candidates),
    Column("category_set", "texts", lambda s, d: d.category_set.codes),
    Column("coverage", "number", lambda s, d: d.category_set.coverage),
    Column("place_name", "text", lambda s, d: d.place.name),
    Column("district", "text", lambda s, d: d.place.district),
    Column("town", "text", lambda s, d: d.place.town),
    Column("community", "text", lambda s, d: d.place.community),
    Column("place_kind", "text", lambda s, d: d.place.kind),
    Column("place_status", "text", lambda s, d: d.place.status),
    Column("place_confidence", "number", lambda s, d: d.place.confidence),
    Column("unit_code", "text", lambda s, d: d.unit.code),
    Column("unit_name", "text", lambda s, d: d.unit.name),
    Column("unit_class", "text", lambda s, d: d.unit.unit_class),
    Column("unit_rule", "text", lambda s, d: d.unit.rule),
    Column("unit_confidence", "number", lambda s, d: d.confidence),
    Column("co_units", "texts", lambda s, d: [u.name for u in d.co_units]),
    Column("cc", "texts", lambda s, d: [u.name for u in d.cc]),
    Column("deadline", "text", lambda s, d: d.deadline.tier),
    Column("deadline_basis", "text", lambda s, d: d.deadline.basis),
    Column("request_type", "text", lambda s, d: d.request_type.value),
    Column("gate", "text", lambda s, d: s.gate.kind),
    Column("gate_article", "text", lambda s, d: s.gate.article),
    Column("enterprise", "truth", lambda s, d: s.flags.enterprise),
    Column("repeat", "truth", lambda s, d: s.flags.repeat),
    Column("sensitive", "texts", lambda s, d: s.flags.sensitive),
    Column("demands", "count", lambda s, d: len(s.demands)),
    Column("other_demands", "demands", _others),
    Column("decision", "text", lambda s, d: d.decision),
    Column("questions", "texts", lambda s, d: d.questions),
    Column("version_model", "text", lambda s, d: s.versions.model),
    Column("version_catalogue", "text", lambda s, d: s.versions.catalogue),
    Column("version_rules", "text", lambda s, d: s.versions.rules),
    Column("version_places", "text", lambda s, d: s.versions.places),
)
NAMES = tuple(c.name for c in COLUMNS)


def choose(names: str | None) -> tuple[str, ...]:
    """Return the columns named in a comma-separated list, all by default.

    Raises
    ------
    UsageError
        If a name is unknown.
    """
    if names is None:
        return NAMES
    chosen = tuple(
        dict.fromkeys(n.strip() for n in names.replace("，", ",").split(",") if n.strip())
    )
    unknown = [n for n in chosen if n not in NAMES]
    if unknown or not chosen:
        raise UsageError(f"没有结果列：{'、'.join(unknown) or '（空）'}；可选：{'、'.join(NAMES)}")
    return chosen


def _list(kind: Any) -> Any:
    """Return a list type; Parquet calls its values so, and a file read back stays the same."""
    pa = arrow()
    return pa.list_(pa.field("element", kind))


def texts_type() -> Any:
    """Return the type of a list of texts."""
    return _list(arrow().string())


def _types() -> dict[str, Any]:
    pa = arrow()
    text, number = pa.string(), pa.float64()
    return {
        "text": text,
        "number": number,
        "truth": pa.bool_(),
        "count": pa.int32(),
        "texts": texts_type(),
        "candidates": _list(pa.struct([("code", text), ("confidence", number)])),
        "demands": _list(
            pa.struct(
                [
                    ("code", text),
                    ("confidence", number),
                    ("unit", text),
                    ("deadline", text),
                    ("start", pa.int32()),
                    ("end", pa.int32()),
                ]
            )
        ),
    }


def fields(names: Sequence[str], prefix: str) -> list[Any]:
    """Return the Arrow fields of the chosen columns."""
    pa, types = arrow(), _types()
    return [pa.field(prefix + c.name, types[c.kind]) for c in COLUMNS if c.name in names]


def arrays(suggestions: Iterable[Suggestion], names: Sequence[str]) -> list[Any]:
    """Return one array per chosen column, in the order of :func:`fields`.

    The first demand of a ticket fills the columns; the others are in ``other_demands``.
    """
    pa, types = arrow(), _types()
    rows = [(s, s.demands[0]) for s in suggestions]
    chosen = [c for c in COLUMNS if c.name in names]
    return [pa.array([c.value(s, d) for s, d in rows], types[c.kind]) for c in chosen]
