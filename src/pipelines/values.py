"""Dataclasses that are quick to make: a run with nothing to do makes more than a hundred and uses few of them.

The standard library writes up to eight methods for a dataclass as text and compiles each when the class is made:
half a millisecond per class, a quarter of such a run. This `dataclass` is the same but for how they come about:
equality, hash, representation and the refusal of changes are functions that all classes share; `__init__` is
compiled when somebody first asks for it.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_COMPARED = "_compared_values"  # attribute of a class: what gives the values that equality is over
_FIELDS = "__dataclass_fields__"
_STANDARD = frozenset({"order", "unsafe_hash"})  # options that need the methods as the standard library writes them

if not TYPE_CHECKING:
    import dataclasses

    def dataclass(cls=None, /, **options):
        """As dataclasses.dataclass, with the same options; a field of type InitVar is not supported."""

        def make(cls: type) -> type:
            if options.keys() & _STANDARD:
                return dataclasses.dataclass(cls, **options)
            own, derived = frozenset(vars(cls)), hasattr(cls, _FIELDS)
            frozen = options.get("frozen", False)
            # The standard library looks at a base whether it is frozen: of a derived class it writes all there is.
            shared = frozen and not derived and not own & {"__setattr__", "__delattr__"}
            less = {"repr": False, "eq": False, "init": False, "frozen": frozen and not shared}
            made = dataclasses.dataclass(cls, **{**options, **less})
            if shared:
                _freeze(made, slots=options.get("slots", False))
            if options.get("init", True) and "__init__" not in own:
                made.__init__ = _Init(made)
            if options.get("repr", True) and "__repr__" not in own:
                made.__repr__ = _repr
            if options.get("eq", True) and "__eq__" not in own:
                names = [item.name for item in fields(made) if item.compare]
                setattr(made, _COMPARED, staticmethod(attrgetter(*names) if names else type))
                made.__eq__ = _eq
                if "__hash__" not in own:
                    made.__hash__ = _hash if frozen else None
            return made

        return make if cls is None else make(cls)

else:
    from dataclasses import dataclass as dataclass


class _Absent:
    """Stands in a signature for the value of a default_factory."""

    def __repr__(self) -> str:
        return "<factory>"


_ABSENT = _Absent()


class _Init:
    """Stands for the `__init__` of one class until it is asked for; then the class has the real one."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        cls = self._cls
        init = _compiled(cls)
        cls.__init__ = init
        return init.__get__(instance, owner)


def _compiled(cls: Any) -> Any:
    """The `__init__` that the standard library would have written."""
    values: dict[str, Any] = {"_set_": object.__setattr__, "_absent_": _ABSENT}
    heads: dict[bool, list[str]] = {False: [], True: []}  # by whether a field must be named
    body, frozen = [], cls.__dataclass_params__.frozen
    for item in fields(cls):
        name, value, default = item.name, item.name, ""
        if item.default_factory is not MISSING:
            values[f"_make_{name}_"], default = item.default_factory, "=_absent_"
            made = f"_make_{name}_()"
            value = f"{made} if {name} is _absent_ else {name}" if item.init else made
        elif item.default is not MISSING:
            values[f"_default_{name}_"], default = item.default, f"=_default_{name}_"
            value = name if item.init else f"_default_{name}_"
        if item.init:
            heads[item.kw_only is True].append(name + default)
        if item.init or default:
            body.append(f" _set_(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    named = ["*", *heads[True]] if heads[True] else []
    head = f"def __init__({', '.join(['self', *heads[False], *named])}):"
    exec("\n".join([head, *body, " return"]), values)  # noqa: S102 - of the fields' names, which are identifiers
    init = values["__init__"]
    init.__annotations__ = {item.name: item.type for item in fields(cls) if item.init} | {"return": None}
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return init


def _freeze(cls: Any, *, slots: bool) -> None:
    cls.__dataclass_params__.frozen = True
    cls.__setattr__, cls.__delattr__ = _refuse_setting, _refuse_deleting
    if slots:  # copy and pickle would set the attributes one by one
        cls.__getstate__, cls.__setstate__ = _state, _restore


def _refuse_setting(self: Any, name: str, value: Any) -> None:
    if name in getattr(self, _FIELDS) or _FIELDS in vars(type(self)):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)  # a class derived from it, no dataclass itself, may have more


def _refuse_deleting(self: Any, name: str) -> None:
    if name in getattr(self, _FIELDS) or _FIELDS in vars(type(self)):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _state(self: Any) -> list[Any]:
    return [getattr(self, item.name) for item in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for item, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, item.name, value)


def _repr(self: Any) -> str:
    values = (f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
    return f"{type(self).__qualname__}({', '.join(values)})"


def _eq(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    compared = getattr(self, _COMPARED)
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(getattr(self, _COMPARED)(self))
