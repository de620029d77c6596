"""Events and the OpenAPI document in words for the pages. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.store.events import Event


@dataclass(frozen=True)
class Operation:
    """An address of the API for the reference page. parameters: (name, text); body: an example as JSON."""

    method: str
    path: str
    text: str
    parameters: tuple[tuple[str, str], ...]
    body: str


def event_text(event: Event) -> str:
    """An event of a run in a sentence."""
    payload = event.payload
    match event.type:
        case "RUN_CREATED":
            return str(payload.get("meaning") or payload.get("goal") or "")
        case "AGENT_THINKING":
            stale = payload.get("stale") or {}
            return "\n".join(f"{name}: {'; '.join(why)}" for name, why in stale.items()) or "everything is up to date"
        case "PLAN_GENERATED":
            steps = [step["component"] for step in payload.get("steps", ()) if step["step"] == "compute"]
            return f"compute {', '.join(steps)}" if steps else "nothing to compute"
        case "EXECUTING":
            return _executing(payload)
        case "APPROVAL_REQUESTED":
            return f"waits until {payload.get('expires_at')}"
        case _:
            parts = [payload.get("error"), payload.get("by") and f"by {payload['by']}", payload.get("reason")]
            return "; ".join(str(part) for part in parts if part)


def _executing(payload: Mapping[str, Any]) -> str:
    parts = [f"{payload.get('component')}: {payload.get('phase')}"]
    if payload.get("reasons"):
        parts.append("; ".join(payload["reasons"]))
    if payload.get("rows") is not None:
        parts.append(f"{payload['rows']:,} rows, version {str(payload.get('version'))[:8]}")
    if payload.get("seconds") is not None:
        parts.append(f"{payload['seconds']:.1f} s")
    parts += [str(payload[key]) for key in ("error", "until", "by") if payload.get(key)]
    return ", ".join(parts)


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
