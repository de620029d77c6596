"""Plans and reasons as plain values, as the database stores them, and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.core.model import Block, Code, Compute, Defer, Plan, Reason, Reuse, Skip, Step

_LATER = ("reuse", "fingerprint")  # fields of a step that plans on record may lack: not written where there is none


def plan_to_json(plan: Plan) -> list[dict[str, Any]]:
    """A plan as plain values, one object a step; `plan_from_json` reads it back."""
    return [_step_to_json(step) for step in plan.steps]


def plan_from_json(steps: Iterable[Mapping[str, Any]]) -> Plan:
    """The plan that `plan_to_json` wrote."""
    return Plan(tuple(_step_from_json(step) for step in steps))


def reasons_to_json(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """Reasons as plain values, for an attempt's row; `reasons_from_json` reads them back."""
    return [dict(vars(reason)) for reason in reasons]  # dataclasses.asdict copies in depth, at ten times the cost


def reasons_from_json(reasons: Iterable[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """The reasons that `reasons_to_json` wrote."""
    return tuple(Reason(**{**reason, "code": Code(reason["code"])}) for reason in reasons)


def _step_to_json(step: Step) -> dict[str, Any]:
    found = {"step": type(step).__name__.lower(), **vars(step)}
    if "reasons" in found:
        found["reasons"] = reasons_to_json(found["reasons"])
    for name in _LATER:
        if found.get(name, "") is None:
            del found[name]
    if "reuse" in found:
        found["reuse"] = dict(vars(found["reuse"]))
    return found


def _step_from_json(step: Mapping[str, Any]) -> Step:
    fields = {name: value for name, value in step.items() if name != "step"}
    if "reasons" in fields:
        fields["reasons"] = reasons_from_json(fields["reasons"])
    match step["step"]:
        case "compute":
            fields["changed"] = {name: tuple(keys) for name, keys in fields["changed"].items()}
            reuse = fields.get("reuse")
            return Compute(**{**fields, "reuse": None if reuse is None else Reuse(**reuse)})
        case "skip":
            return Skip(**fields)
        case "defer":
            return Defer(**fields)
        case "block":
            return Block(**fields)
        case other:
            raise ValueError(f"{other!r} is no step of a plan")
