"""``/v1/catalogue``, ``/v1/units``, ``/v1/places``: look things up in the active bundle."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from jiesu_nlp.catalogue.model import Catalogue, Leaf
from jiesu_nlp.catalogue.search import initials, search
from jiesu_nlp.route.rules import Case
from jiesu_nlp.route.units import RegisteredUnit
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.ticket import Ticket
from service.api.deps import AService, Operator
from service.api.schemas import PlaceBody, RouteBody
from service.models import LoadedModel
from service.problems import Problem

router = APIRouter(prefix="/v1", tags=["目录、单位与地点"])
Words = Annotated[str, Query(max_length=200, examples=["占道", "zdjy"])]


def find_leaves(model: LoadedModel, words: str, most: int) -> list[Leaf]:
    """Return leaves by name and pinyin initials first, then by meaning as the classifier sees it."""
    query = words.strip()
    if not query:
        return []
    catalogue = model.dispatcher.catalogue
    named = [
        leaf
        for leaf in search(catalogue, query, most=most)
        if query in leaf.name or leaf.code.startswith(query) or query.isascii()
    ]
    found = {leaf.code: leaf for leaf in named}
    if not query.isascii() and len(found) < most:
        (meant,) = model.dispatcher.classifier.predict([normalise(query).text], k=most)
        for row in meant.leaves:
            found.setdefault(catalogue.leaves[row].code, catalogue.leaves[row])
    return list(found.values())[:most]


def leaf_line(catalogue: Catalogue, leaf: Leaf) -> dict[str, Any]:
    """Return a leaf in one line."""
    return {
        "code": leaf.code,
        "path": list(catalogue.path(leaf.code)),
        "unit": leaf.unit,
        "limit": leaf.limit,
        "definition": leaf.definition,
    }


@router.get("/catalogue", summary="派单目录：大类与小类")
def tree(service: AService, who: Operator) -> dict[str, Any]:
    """Return classes and groups with their numbers of leaves."""
    catalogue = service.models.active.dispatcher.catalogue
    counts: dict[str, int] = {}
    for leaf in catalogue.leaves:
        counts[leaf.group_code] = counts.get(leaf.group_code, 0) + 1
    return {
        "version": catalogue.version,
        "title": catalogue.title,
        "leaves": len(catalogue),
        "classes": [
            {
                "code": c.code,
                "name": c.name,
                "scope": c.scope,
                "groups": [
                    {"code": g.code, "name": g.name, "leaves": counts.get(g.code, 0)}
                    for g in catalogue.groups
                    if g.code.startswith(c.code + "-")
                ],
            }
            for c in catalogue.classes
        ],
    }


@router.get("/catalogue/search", summary="按名称、拼音首字母或含义查目录")
def search_catalogue(
    service: AService, who: Operator, q: Words, limit: Annotated[int, Query(ge=1, le=50)] = 12
) -> dict[str, Any]:
    """Return the leaves that fit best."""
    model = service.models.active
    catalogue = model.dispatcher.catalogue
    return {"leaves": [leaf_line(catalogue, leaf) for leaf in find_leaves(model, q, limit)]}


@router.get("/catalogue/{code}", summary="一个大类、小类或细项")
def entry(
    code: Annotated[str, Path(max_length=16, examples=["09-02-003"])],
    service: AService,
    who: Operator,
) -> dict[str, Any]:
    """Return a leaf with its definition and examples, or the leaves under a class or group."""
    model = service.models.active
    catalogue = model.dispatcher.catalogue
    leaf = catalogue.by_code.get(code)
    if leaf is None:
        name = catalogue.name_of(code)
        if name is None:
            successors = catalogue.successors(code)
            hint = f"；已退役，后继为 {'、'.join(successors)}" if successors else ""
            raise Problem(404, "unknown-code", f"派单目录里没有编码 {code}{hint}")
        under = [leaf_line(catalogue, leaf) for leaf in catalogue.leaves_under(code)]
        return {"code": code, "name": name, "leaves": under}
    return {
        **leaf_line(catalogue, leaf),
        "name": leaf.name,
        "types": list(leaf.types),
        "co_units": list(leaf.co_units),
        "basis": leaf.basis,
        "neighbours": [
            {"when": n.when, "code": n.code, "name": catalogue.name_of(n.code)}
            for n in leaf.neighbours
        ],
        "says": list(model.says.get(code, ()))[:8],
    }


def _unit(unit: RegisteredUnit) -> dict[str, Any]:
    return {
        "code": unit.code,
        "name": unit.name,
        "short": unit.short,
        "class": unit.unit_class,
        "level": unit.level,
        "area": list(unit.area),
    }


@router.get("/units", summary="按名称、简称或拼音首字母查承办单位")
def units(
    service: AService, who: Operator, q: Words, limit: Annotated[int, Query(ge=1, le=50)] = 12
) -> dict[str, Any]:
    """Return the units that fit best; every word must occur."""
    words = q.lower().split()
    if not words:
        return {"units": []}
    hits = []
    for unit in service.models.active.dispatcher.knowledge.units.units:
        names = " ".join((unit.name, unit.short, unit.unit_class, *unit.aliases)).lower()
        if all(w in names or (w.isascii() and w in initials(unit.name)) for w in words):
            hits.append((not unit.name.startswith(words[0]), len(unit.name), unit.code, unit))
    hits.sort(key=lambda h: h[:3])
    return {"units": [_unit(h[3]) for h in hits[:limit]]}


@router.get("/units/{code}", summary="一个承办单位")
def unit(
    code: Annotated[str, Path(max_length=64)], service: AService, who: Operator
) -> dict[str, Any]:
    """Return one unit."""
    found = service.models.active.dispatcher.knowledge.units.by_code.get(code)
    if found is None:
        raise Problem(404, "unknown-unit", f"没有编码为 {code} 的承办单位")
    return _unit(found)


@router.post("/route", summary="换一个细项后的承办单位、协办、抄送与时限")
async def route(body: RouteBody, service: AService, who: Operator) -> dict[str, Any]:
    """Route a demand as if its matter were the given leaf."""
    dispatcher = service.models.active.dispatcher
    if body.code not in dispatcher.catalogue:
        raise Problem(422, "unknown-code", f"派单目录里没有编码 {body.code}")
    places = dispatcher.knowledge.places
    towns = {t.name for t in places.towns}
    routing = dispatcher.router.route(
        Case(
            leaf=body.code,
            text=body.text,
            kind=body.kind,
            owners=frozenset(body.owners),
            actors=frozenset(body.actors),
            request_type=body.request_type,
            # Only places there are: the router remembers every one it resolved.
            district=body.district if body.district in places.districts else None,
            town=body.town if body.town in towns else None,
            month=Ticket(text="", created_at=body.created_at).month,
            gate=body.gate,
        )
    )
    return {
        "unit": routing.lead.to_dict(),
        "co_units": [u.to_dict() for u in routing.co_units],
        "cc": [u.to_dict() for u in routing.cc],
        "alternatives": [u.to_dict() for u in routing.alternatives],
        "deadline": routing.deadline.to_dict(),
    }


@router.post("/places/lookup", summary="识别一句话里的地点")
async def places(body: PlaceBody, service: AService, who: Operator) -> dict[str, Any]:
    """Return the incident place of a text."""
    dispatcher = service.models.active.dispatcher

    def work() -> dict[str, Any]:
        suggestion = dispatcher.suggest(body.text, address=body.address)
        return {"place": suggestion.demands[0].place.to_dict()}

    return await service.compute(work)
