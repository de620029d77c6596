"""Our quick dataclasses behave as the standard ones do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import values

OPTIONS = ({}, {"frozen": True}, {"frozen": True, "kw_only": True}, {"eq": False}, {"repr": False})


def made(decorate: Any, **options: Any) -> type[Any]:
    class Price:
        market: str
        value: float = 1.0
        seen: list[str] = dataclasses.field(default_factory=list, compare=False, repr=False)

    Price.__annotations__ = {"market": str, "value": float, "seen": list}
    return decorate(**options)(Price)  # type: ignore[no-any-return]


def answers(cls: type[Any], first: tuple[str, float], second: tuple[str, float]) -> list[Any]:
    """What can be asked of two instances, without identities."""
    one, other = (cls(market=market, value=value, seen=[market]) for market, value in (first, second))
    return [
        one == other,
        one == cls(market=first[0], value=first[1]),
        one != first,
        one.__eq__(first) if cls.__eq__ is not object.__eq__ else None,
        cls.__hash__ is None,
        (hash(one) == hash(other)) if cls.__hash__ not in (None, object.__hash__) else None,
        repr(one) if cls.__repr__ is not object.__repr__ else None,
        dataclasses.asdict(dataclasses.replace(one, value=2.0)),
        [item.name for item in dataclasses.fields(one)],
    ]


@given(*[st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([1.0, 2.0]))] * 2)
def test_each_option_means_the_same(first: tuple[str, float], second: tuple[str, float]) -> None:
    for options in OPTIONS:
        ours, theirs = made(values.dataclass, **options), made(dataclasses.dataclass, **options)
        assert answers(ours, first, second) == answers(theirs, first, second), options


def test_frozen_ones_refuse_a_change_and_keep_what_a_class_says_itself() -> None:
    one = made(values.dataclass, frozen=True)("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.market = "b"

    @values.dataclass(frozen=True)
    class Own:
        name: str

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "mine"

    assert (Own("a") == 3, hash(Own("a")), repr(Own("a"))) == (True, 7, "mine")

    @values.dataclass(frozen=True)
    class Nothing:
        pass

    assert Nothing() == Nothing()
    assert len({Nothing(), Nothing()}) == 1
    assert repr(Nothing()).endswith("Nothing()")
