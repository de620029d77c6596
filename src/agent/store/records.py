"""Inputs as JSON columns hold them, and back. Reasons and plans have theirs in agent.core.plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.model import InputRecord


def inputs_to_json(inputs: Mapping[str, InputRecord]) -> dict[str, Any]:
    """Input name -> {"snapshot_id", "version", "read_version"}, and "parts" where there are any."""
    return {
        name: {
            "snapshot_id": one.snapshot_id,
            "version": one.version,
            "read_version": one.read_version,
            **({"parts": dict(one.parts)} if one.parts else {}),
        }
        for name, one in inputs.items()
    }


def inputs_from_json(value: Mapping[str, Any]) -> dict[str, InputRecord]:
    """The inverse of `inputs_to_json`. Raises TypeError, KeyError or ValueError on another shape."""
    return {
        name: InputRecord(
            int(item["snapshot_id"]), str(item["version"]), str(item["read_version"]), dict(item.get("parts", {}))
        )
        for name, item in value.items()
    }
