"""Inputs as JSON columns hold them, and back. Reasons and plans have theirs in agent.core.plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.core.model import InputRecord


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
