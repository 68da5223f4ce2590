"""JSON Schema of the contract, generated from the dataclasses of ``suggestion``.

``python -m jiesu_nlp.schema`` prints it; the committed copy is ``docs/suggestion.schema.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from jiesu_nlp.suggestion import Suggestion, json_name


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
                    json_name(f): _schema_of(hints[f.name], defs) for f in fields(annotation)
                },
                "required": [json_name(f) for f in fields(annotation)],
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


if __name__ == "__main__":
    json.dump(json_schema(), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
