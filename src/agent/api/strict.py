"""Nothing a request says is passed over in silence: an unknown field or parameter is refused with the nearest name.

`require_aproval` passed over would mean a run without approval, `project` one of the wrong project.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
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


class StrictRoute(APIRoute):
    """A route of the API: answers what it does not take (a parameter, a body) with UsageError.

    What it takes is found once. As a dependency this would cost each request a tenth of its time.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        handle, known, takes_body = (
            super().get_route_handler(),
            tuple(_parameters(self.dependant)),
            bool(self.body_field),
        )

        async def handle_what_is_known(request: Request) -> Response:
            if request.scope["query_string"]:
                _refuse_parameters(request, known)
            if not takes_body and request.method not in ("GET", "HEAD"):
                await _refuse_body(request, known)
            return await handle(request)

        return handle_what_is_known


def _refuse_parameters(request: Request, known: Collection[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise UsageError(
            "; ".join(f"unknown parameter {name[:100]!r}{nearest(name, known)}" for name in unknown),
            where=f"the query string of {request.url.path}",
            fix="correct it or leave it out; /openapi.json says what is expected",
        )


async def _refuse_body(request: Request, known: Collection[str]) -> None:
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
