"""Where an output came from and which releases used it, from rows alone."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.core.answers import Ref, plain
from agent.core.lineage import Made, origins, used_by
from agent.core.model import InputRecord

AT = datetime(2026, 11, 27, tzinfo=UTC)


def made(number: int, component: str, run_id: int | None, **inputs: InputRecord) -> Made:
    return Made(
        number,
        component,
        f"{component}-version",
        5,
        AT,
        AT,
        {n.replace("__", ":"): r for n, r in inputs.items()},
        run_id,
    )


def read(number: int, version: str, *parts: str) -> InputRecord:
    return InputRecord(number, version, version, dict.fromkeys(parts, "token"))


def test_it_goes_up_to_the_files_of_the_sources() -> None:
    ticks = made(1, "ticks", 1, source__files=read(0, "digest", *(f"{n}.csv" for n in range(8))))
    features = made(2, "features", 2, ticks=read(1, "ticks-version"))
    model = made(3, "model", None, features=read(2, "features-version"), ticks=read(1, "ticks-version"))
    lines = origins(model, {1: ticks, 2: features})
    assert [plain(line) for line in lines] == [
        "model model-ve read features features, ticks ticks-ve",
        "features features made in run 2 read ticks ticks-ve",
        "ticks ticks-ve made in run 1 read source files: 0.csv, 1.csv, 2.csv, 3.csv, 4.csv, 5.csv and 2 more",
    ]
    assert Ref("run", "2", "2") in lines[1]
    # What gc has taken is named, and goes no further up; a source with many parts is named by its version.
    assert len(origins(model, {2: features})) == 2
    many = origins(made(1, "ticks", 1, source__big=read(0, "0123456789")), {})
    assert plain(many[0]).endswith("read source big 01234567")
    assert plain(origins(made(1, "alone", 1), {})[0]).endswith("read nothing")


def test_the_releases_that_used_an_output_are_named() -> None:
    outputs = [made(4, "model", 4), made(3, "model", 3)]
    releases = [
        ("r3", {"model": {"snapshot_id": 4}}),
        ("r2", {"model": {"snapshot_id": 3}}),
        ("r1", {"model": {"snapshot_id": 3}}),
        ("r0", {"ticks": {"snapshot_id": 4}}),
    ]
    assert [one.releases for one in used_by(outputs, releases)] == [("r3",), ("r2", "r1")]
    assert used_by([], releases) == []
