"""The frames between a process and the project's process: length, number of the request, JSON.

JSON has no dataclasses, tuples or times: an object with the key "$" stands for one of those, a dataclass of ours by its
name and its fields in order, a snapshot by a list per field of its partitions, which may be very many. Nothing else can
be sent, so that no class of a project crosses, and reading a frame runs no code but ours. Both sides are of one
version: the first answer makes sure of that.
"""

from __future__ import annotations

import base64
import json
import operator
import struct
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from agent.execution.host import difference, interface
from pipelines import component, snapshot
from pipelines.plugins import code

FORMAT = 5  # raised with every change of what is sent
_HEAD = struct.Struct(">IQ")

_CLASSES: Mapping[str, type[Any]] = {
    one.__name__: one
    for one in (
        *(snapshot.Partition, snapshot.Reads, code.Code, difference.Difference),
        *(component.Pending, component.Outcome, component.Deferral, component.Due, component.Outside),
        *(interface.Origin, interface.ProjectFacts, interface.ComponentFacts, interface.SourceFacts, interface.Fault),
        *(interface.Probed, interface.Question, interface.Task, interface.Done, interface.Failure),
    )
}
_OF_PARTITION = tuple(one.name for one in fields(snapshot.Partition))
_FACTS = operator.attrgetter(*_OF_PARTITION)
_TIMES = (_OF_PARTITION.index("min_ts"), _OF_PARTITION.index("max_ts"))
_HASHES = _OF_PARTITION.index("column_hashes")
_FIELDS = {kind: tuple(one.name for one in fields(kind) if one.init) for kind in _CLASSES.values()}


def write_frame(stream: IO[bytes], number: int, value: Any) -> None:
    """Send `value` as the request `number`, or as an answer to it. Raises TypeError for what must not cross."""
    write_body(stream, number, encode(value))


def write_body(stream: IO[bytes], number: int, body: bytes) -> None:
    """Send what `encode` made."""
    stream.write(_HEAD.pack(len(body), number) + body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[int, Any] | None:
    """The next frame's number and value; None where the other side is gone."""
    head = _read(stream, _HEAD.size)
    if head is None:
        return None
    length, number = _HEAD.unpack(head)
    body = _read(stream, length)
    return None if body is None else (number, decode(body))


def encode(value: Any) -> bytes:
    """`value` as JSON. Raises TypeError for what must not cross."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(data: bytes) -> Any:
    """The value that `encode` made `data` of."""
    return json.loads(data.decode("utf-8", "surrogatepass"), object_hook=_value)


def _read(stream: IO[bytes], count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        more = stream.read(count - len(found))
        if not more:
            return None
        found += more
    return bytes(found)


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, int, float, bool):
        return value
    if kind is snapshot.Snapshot:
        return {"$": "Snapshot", "v": [value.component, _columns(value)]}
    if kind in _FIELDS:
        return {"$": kind.__name__, "v": [_plain(getattr(value, name)) for name in _FIELDS[kind]]}
    if isinstance(value, Mapping):
        if "$" not in value and all(type(key) is str for key in value):
            return {key: _plain(one) for key, one in value.items()}
        return {"$": "dict", "v": [[_plain(key), _plain(one)] for key, one in value.items()]}
    if kind is list:
        return [_plain(one) for one in value]
    if isinstance(value, tuple):
        return {"$": "tuple", "v": [_plain(one) for one in value]}
    if isinstance(value, frozenset | set):
        return {"$": "set", "v": [_plain(one) for one in value]}
    return _scalar(value)


def _columns(value: snapshot.Snapshot) -> list[list[Any]]:
    """The fields of all partitions, a list per field."""
    if not value.partitions:
        return [[] for _ in _OF_PARTITION]
    found: list[list[Any]] = [list(one) for one in zip(*map(_FACTS, value.partitions), strict=True)]
    for at in _TIMES:
        found[at] = [None if one is None else one.isoformat() for one in found[at]]
    found[_HASHES] = [snapshot.text_of(one) for one in found[_HASHES]]
    return found


def _snapshot(content: list[Any]) -> snapshot.Snapshot:
    component, columns = content
    for at in _TIMES:
        columns[at] = [None if text is None else datetime.fromisoformat(text) for text in columns[at]]
    columns[_HASHES] = [snapshot.HashText(text) for text in columns[_HASHES]]
    return snapshot.Snapshot(component, tuple([snapshot.Partition(*one) for one in zip(*columns, strict=True)]))


def _scalar(value: Any) -> Any:
    """What is no container: times, numbers and texts that JSON has no word for."""
    for kind in (datetime, date, time):  # in this order: a datetime is a date
        if isinstance(value, kind):
            return {"$": kind.__name__, "v": value.isoformat()}
    if isinstance(value, timedelta):
        return {"$": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, Decimal):
        return {"$": "Decimal", "v": str(value)}
    if isinstance(value, bytes):
        return {"$": "bytes", "v": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Path):
        return {"$": "Path", "v": str(value)}
    for plain in (bool, int, float, str):  # of a class of its own: an enumeration, a number of NumPy
        if isinstance(value, plain):
            return plain(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return _plain(value.item())
    raise TypeError(f"a value of class {type(value).__module__}.{type(value).__qualname__} cannot leave the process")


def _value(found: dict[str, Any]) -> Any:
    name = found.get("$")
    if name is None:
        return found
    content = found["v"]
    if name in _CLASSES:
        kind = _CLASSES[name]
        return kind(**dict(zip(_FIELDS[kind], content, strict=True)))
    return _READ[name](content)


_READ: Mapping[str, Any] = {
    "Snapshot": _snapshot,
    "dict": dict,
    "tuple": tuple,
    "set": frozenset,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "Decimal": Decimal,
    "bytes": base64.b64decode,
    "Path": Path,
}
