"""Nothing a request says is passed over in silence: an unknown field or parameter is refused with the nearest name.

`require_aproval` passed over would mean a run without approval, `project` one of the wrong project.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, model_validator

from agent.errors import UsageError

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant

_EMPTY = (b"", b"{}", b"null")


class Body(BaseModel):
    """The body of a request: its fields and no others, each of the very type it has (`true` is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_every_field(cls, values: Any) -> Any:
        unknown = [name for name in values if name not in cls.model_fields] if isinstance(values, dict) else []
        if unknown:
            raise ValueError(
                "; ".join(f"unknown field {name[:100]!r}{nearest(name, cls.model_fields)}" for name in unknown)
            )
        return values


async def refuse_unknown(request: Request) -> None:
    """A dependency of each route of the API: raises UsageError for a parameter or a body that it does not take."""
    route = request.scope["route"]
    known = tuple(_parameters(route.dependant))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise UsageError(
            "; ".join(f"unknown parameter {name[:100]!r}{nearest(name, known)}" for name in unknown),
            where=f"the query string of {request.url.path}",
            fix="correct it or leave it out; /openapi.json says what is expected",
        )
    if route.body_field is None and request.method not in ("GET", "HEAD"):
        body = (await request.body()).strip()
        if body not in _EMPTY:
            raise UsageError(
                "this address takes no body",
                where=f"{request.method} {request.url.path}",
                fix=f"leave the body out{_as_parameters(known)}; /openapi.json says what is expected",
            )


def nearest(name: str, known: Collection[str]) -> str:
    """What a name that is not known may have meant, as the end of a sentence."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": known are {', '.join(known)}" if known else ": none is taken here"


def _as_parameters(known: Collection[str]) -> str:
    return f", and send {', '.join(known)} in the query string" if known else ""


def _parameters(dependant: Dependant) -> Iterator[str]:
    yield from (one.alias for one in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _parameters(inner)
