"""Torture of tries: killed at any point, production is untouched and the try goes on; and several at once with a run
of production compute each result once."""

from __future__ import annotations

import signal
import tomllib
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from tests.processes import Process
from tests.torture.choice import chosen, family, tree
from tests.torture.faults import TRYING, points_in_source, read_log
from tests.torture.world import World
from tests.unaltered import Production, production

pytestmark = pytest.mark.torture
PROMOTE = ("promote", "double", "--yes")
_PATIENT = 60  # seconds that a component is expected to take: production waits as long for another's result


def trying(name: str = "double", factor: int = 2) -> tuple[str, ...]:
    """Arguments of `agent`."""
    return ("try", "--set", f"totals.factor={factor}", "--name", name, "--target", "bulletin")


def start(world: World, *arguments: str, fault: dict[str, Any] | None = None) -> Process:
    return world.start("agent", *arguments, fault=fault)


def ended(process: Process, code: int = 0) -> None:
    assert process.wait() == code, process.said()


def begun(world: World) -> Production:
    """Production after a run from nothing, and how it is."""
    world.reset()
    world.settings()
    world.run()
    return now(world)


def now(world: World) -> Production:
    with world.connected() as conn:
        return production(conn.engine, world.folder / ".tidemill")


def passed(world: World, *arguments: str) -> list[str]:
    """The points that an undisturbed command passes, each once."""
    log = world.folder / "points"
    log.unlink(missing_ok=True)
    ended(start(world, *arguments, fault={"log": str(log)}))
    return list(dict.fromkeys(read_log(log)))


def of_try(world: World) -> dict[str, str]:
    return {row["component"]: row["output_version"] for row in world.rows("SELECT * FROM try_state")}


def of_interest(points: list[str], is_long: bool) -> list[str]:
    """All in the long form; else those of tries alone, and a third of what runs pass as well."""
    if is_long:
        return points
    own = [point for point in points if point.startswith(TRYING)]
    rest = [point for point in points if point not in own]
    return own + [point for point in chosen(rest, tree()) if family(point) in ("commit", "attempt")][::3]


def test_every_point_of_tries_is_passed(world: World) -> None:
    begun(world)
    found = {*passed(world, *trying()), *passed(world, *PROMOTE), *passed(world, "drop", "double")}
    assert {point for point in points_in_source() if point.startswith(TRYING)} <= found


def test_a_killed_try_leaves_production_alone_and_goes_on(world: World, is_long: bool, figures: Counter[str]) -> None:
    begun(world)
    points = passed(world, *trying())
    expected = of_try(world)
    assert expected["totals"] != world.versions()["totals"]
    assert expected["sums"] == world.versions()["sums"]
    for point in of_interest(points, is_long):
        before = begun(world)
        ended(start(world, *trying(), fault={"point": point, "do": "kill"}), -signal.SIGKILL)
        before.require_kept(now(world))
        ended(start(world, *trying()))
        before.require_kept(now(world))
        assert of_try(world) == expected, point
        assert world.attempts("running") == 0, point
        assert not world.rows("SELECT id FROM runs WHERE status = 'RUNNING'"), point
        world.require_files()
        figures["2 a try killed at a point and gone on with"] += 1


def test_production_closes_what_a_dead_try_left_running(world: World) -> None:
    begun(world)
    ended(start(world, *trying(), fault={"point": "attempt.opened", "do": "kill"}), -signal.SIGKILL)
    assert world.attempts("running") == 1
    world.run()
    assert not world.rows("SELECT id FROM runs WHERE status = 'RUNNING'")
    ended(start(world, "drop", "double"))
    assert world.attempts("running") == 0
    assert not world.rows("SELECT * FROM try_state")


def test_a_try_that_is_computed_is_not_dropped(world: World) -> None:
    begun(world)
    world.flag("slow")
    one = start(world, *trying())
    wait_for(world, [one], "SELECT 1 FROM attempts WHERE component = 'totals' AND status = 'running'")
    dropping = start(world, "drop", "double")
    ended(dropping, 3)
    assert "is being computed by" in dropping.said()
    world.flag("slow", on=False)
    ended(one)
    ended(start(world, "drop", "double"))


def test_a_killed_promotion_is_whole_or_none_and_computes_nothing(world: World, figures: Counter[str]) -> None:
    for point in (point for point in points_in_source() if point.startswith("settings.")):
        begun(world)
        ended(start(world, *trying()))
        before, file = now(world), world.folder / "agent.toml"
        ended(start(world, *PROMOTE, fault={"point": point, "do": "kill"}), -signal.SIGKILL)
        before.require_kept(now(world))
        assert tomllib.loads(file.read_text()).get("totals") in (None, {"factor": 2})
        ended(start(world, *PROMOTE))
        assert tomllib.loads(file.read_text())["totals"] == {"factor": 2}
        newest = max(row["id"] for row in world.rows("SELECT id FROM attempts"))
        world.run()
        made = world.rows("SELECT component, reused_from FROM attempts WHERE id > :newest", newest=newest)
        assert {row["component"] for row in made} == {"totals", "bulletin"}
        assert all(row["reused_from"] is not None for row in made)
        figures["2 a promotion killed at a point and made again"] += 1


def test_two_tries_and_production_at_once_compute_each_result_once(world: World, figures: Counter[str]) -> None:
    begun(world)
    with world.connected(write=True) as conn:
        conn.execute(sa.text("UPDATE attempts SET seconds = :seconds"), {"seconds": _PATIENT})
    newest = max(row["id"] for row in world.rows("SELECT id FROM attempts"))
    world.settings("[totals]\nfactor = 2\n")
    world.flag("slow")
    all_at_once = [world.start_run(), start(world, *trying("same")), start(world, *trying("other", 3))]
    running = "FROM attempts WHERE component = 'totals' AND status = 'running'"
    held = f"SELECT component {running} GROUP BY component HAVING count(*) = 2"
    wait_for(world, all_at_once, held)
    wait_for(world, all_at_once, "", said="waiting for it")
    world.flag("slow", on=False)
    for process in all_at_once:
        ended(process)
    rows = world.rows("SELECT component, reused_from FROM attempts WHERE id > :newest", newest=newest)
    computed = Counter(row["component"] for row in rows if row["reused_from"] is None)
    taken = Counter(row["component"] for row in rows if row["reused_from"] is not None)
    assert (computed, taken) == ({"totals": 2, "bulletin": 2}, {"totals": 1, "bulletin": 1})
    assert {row["lease_owner"] for row in world.rows("SELECT lease_owner FROM result_leases")} == {None}
    figures["2 results that three processes asked for at once"] += 4


def wait_for(world: World, processes: list[Process], sql: str, *, said: str | None = None) -> None:
    """Until a query has a row, or one of the processes has said so; at most as long as these run."""
    while not (any(said in one.said() for one in processes) if said is not None else world.rows(sql)):
        over = [one for one in processes if one.is_over]
        assert not over, over[0].said()
