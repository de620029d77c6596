"""Values of the core as JSON columns hold them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from agent.core.model import Code, InputRecord, Reason


def inputs_to_json(inputs: Mapping[str, InputRecord]) -> dict[str, Any]:
    """Input name -> {"snapshot_id", "version", "read_version"}, and "parts" where there are any."""
    plain = {name: asdict(record) for name, record in inputs.items()}
    return {name: {key: one for key, one in item.items() if one or key != "parts"} for name, item in plain.items()}


def inputs_from_json(value: Mapping[str, Any]) -> dict[str, InputRecord]:
    """The inverse of `inputs_to_json`. Raises TypeError, KeyError or ValueError on another shape."""
    return {
        name: InputRecord(
            int(item["snapshot_id"]), str(item["version"]), str(item["read_version"]), dict(item.get("parts", {}))
        )
        for name, item in value.items()
    }


def reasons_to_json(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    """Reasons as a list of objects, in order."""
    return [asdict(reason) for reason in reasons]


def reasons_from_json(value: Iterable[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """The inverse of `reasons_to_json`."""
    return tuple(Reason(**{**item, "code": Code(item["code"])}) for item in value)
