"""Our quick dataclasses behave as the standard ones do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
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


@values.dataclass(frozen=True, slots=True)
class Slotted:
    market: str
    value: float = 1.0


@values.dataclass(frozen=True)
class Base:
    market: str
    note: str = dataclasses.field(default="", kw_only=True)


@values.dataclass(frozen=True)
class Derived(Base):
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.value < 0:
            raise ValueError(f"{self.value} is negative")


class Plain(Base):
    """No dataclass itself, derived from a frozen one."""


@values.dataclass(order=True)
class Ordered:
    value: float


@pytest.mark.parametrize("one", [Slotted("a", 2.0), Base("a", note="n"), Derived("a", 2.0, note="n"), Ordered(1.0)])
def test_a_copy_and_a_pickled_one_are_equal(one: Any) -> None:
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_slots_leave_no_room_for_more() -> None:
    one = Slotted("a")
    assert not hasattr(one, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'value'"):
        one.value = 2.0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'value'"):
        del one.value


def test_a_derived_class_has_the_fields_and_checks_of_both() -> None:
    assert Derived("a", 2.0, note="n") == Derived(market="a", value=2.0, note="n")
    assert [item.name for item in dataclasses.fields(Derived)] == ["market", "note", "value"]
    with pytest.raises(ValueError, match="negative"):
        Derived("a", -1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Derived("a").note = "m"  # type: ignore[misc]
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @values.dataclass
        class _Open(Base):  # type: ignore[misc]
            value: float = 0.0


def test_a_plain_class_derived_from_a_frozen_one_may_have_more() -> None:
    one: Any = Plain("a")
    one.more = 1
    assert one.more == 1
    del one.more
    assert not hasattr(one, "more")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.market = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.market


def test_a_signature_and_the_errors_of_a_call_are_the_standard_ones() -> None:
    ours, theirs = made(values.dataclass, frozen=True), made(dataclasses.dataclass, frozen=True)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    for arguments, named in (((), {}), (("a", 1.0, [], 4), {}), (("a",), {"nothing": 1}), (("a",), {"market": "b"})):
        errors = []
        for cls in (ours, theirs):
            with pytest.raises(TypeError) as caught:
                cls(*arguments, **named)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True}])
@pytest.mark.parametrize("kw_only", [False, True])
def test_each_kind_of_field_gets_its_value(options: dict[str, bool], kw_only: bool) -> None:
    shapes: dict[str, Any] = {
        "default": dataclasses.field(default=1),
        "made": dataclasses.field(default_factory=list),
        "hidden": dataclasses.field(default="h", init=False),
        "counted": dataclasses.field(default_factory=dict, init=False),
        "named": dataclasses.field(default=2, kw_only=True),
        "needed": dataclasses.field(kw_only=True),
    }

    def build(decorate: Any) -> Any:
        space = {"__annotations__": dict.fromkeys(shapes, "object"), **{k: copy.copy(v) for k, v in shapes.items()}}
        return decorate(kw_only=kw_only, **options)(type("Kinds", (), space))

    ours, theirs = build(values.dataclass), build(dataclasses.dataclass)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    for arguments in ({"needed": 1}, {"needed": 1, "made": [2], "default": 3, "named": 4}):
        one, other = ours(**arguments), theirs(**arguments)
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        assert one.made is not ours(needed=1).made
        assert repr(one) == repr(other).replace(type(other).__qualname__, type(one).__qualname__)
    with pytest.raises(TypeError, match="needed"):
        ours()


def test_a_setter_of_the_class_is_asked() -> None:
    @values.dataclass
    class Watched:
        value: float

        def __setattr__(self, name: str, value: float) -> None:
            object.__setattr__(self, name, value * 2)

    assert Watched(1.0).value == 2.0


def test_an_order_is_the_standard_one() -> None:
    assert sorted([Ordered(2.0), Ordered(1.0)]) == [Ordered(1.0), Ordered(2.0)]


def test_threads_may_ask_for_the_first_one_at_once() -> None:
    for _ in range(20):
        cls = made(values.dataclass, frozen=True)
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda name, cls=cls: repr(cls(name)), ["a"] * 8)) == {repr(cls("a"))}
