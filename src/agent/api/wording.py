"""The OpenAPI document in words for the reference page. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.values import dataclass


@dataclass(frozen=True)
class Operation:
    """An address of the API for the reference page. parameters: (name, text); body: an example as JSON."""

    method: str
    path: str
    text: str
    parameters: tuple[tuple[str, str], ...]
    body: str


def operations_of(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """The operations of an OpenAPI document by their first tag."""
    schemas = document.get("components", {}).get("schemas", {})
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, facts in methods.items():
            parameters = tuple((one["name"], one.get("description", "")) for one in facts.get("parameters", ()))
            one = Operation(method.upper(), path, facts.get("description", ""), parameters, _body(facts, schemas))
            found.setdefault((facts.get("tags") or ["other"])[0], []).append(one)
    return found


def _body(facts: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    schema = facts.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    named = schema.get("$ref") or next((one["$ref"] for one in schema.get("anyOf", ()) if "$ref" in one), "")
    example = schemas.get(named.rpartition("/")[2], {}).get("example")
    return "" if example is None else json.dumps(example, indent=2)
