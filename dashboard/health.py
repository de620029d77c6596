"""How the project stands, in words and colours. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from agent.core.explain import causes_text, dirty_text
from agent.core.model import Block, Compute, Defer, Skip, State, Step
from dashboard.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED


@dataclass(frozen=True)
class Look:
    """How a component is shown: a word, its colour, and why."""

    word: str
    colour: str
    why: str = ""


RUNNING, NEVER_RUN = Look("running", BLUE), Look("never run", GREY)
DIED = Look("died", RED, "the process that ran it died; the next run takes it over")


def look(state: State, step: Step | None, *, is_at_work: bool) -> Look:
    """How a component stands, given what a run would do with it (None where that is not known)."""
    if state.status == "running":
        return RUNNING if is_at_work else DIED
    if state.status == "failed":
        return Look("failed", RED, (state.last_error or "").partition("\n")[0])
    if step is None:
        if state.run_count == 0:
            return NEVER_RUN
        return Look("stale", ORANGE, dirty_text(state) or "") if state.is_dirty else Look("up to date", GREEN)
    match step:
        case Skip():
            return Look("up to date", GREEN)
        case Compute(reasons=reasons):
            if state.run_count == 0:
                return NEVER_RUN
            word = "maybe stale" if step.may_be_cut_off else "stale"
            return Look(word, ORANGE, causes_text(state.component, reasons))
        case Defer(until=until):
            return Look("deferred", PURPLE, f"until {until}")
        case Block(by=by):
            return Look("blocked", PURPLE, f"by {by}")
        case _:
            assert_never(step)


def headline(looks: Mapping[str, Look], *, is_running: bool, has_release: bool) -> tuple[Look, str]:
    """One line of health: what matters most comes first."""
    by_word = {word: [name for name, one in looks.items() if one.word == word] for word in _WORST_FIRST}
    if by_word["died"]:
        return DIED, f"The process that ran {_listed(by_word['died'])} died. Nothing is lost: the next run takes over."
    if by_word["failed"]:
        return Look("failed", RED), f"{_listed(by_word['failed'])} failed: the error is below."
    if is_running:
        return RUNNING, "A run is going on."
    if not has_release and all(one.word == "never run" for one in looks.values()):
        return Look("never run", GREY), "No run yet: open the Agent tab and press Run Agent Once, or type agent run."
    due = [*by_word["stale"], *by_word["never run"]]
    if due:
        verb = "is" if len(due) == 1 else "are"
        return Look("stale", ORANGE), f"{_listed(due)} {verb} stale: the next run recomputes what changed."
    if by_word["blocked"]:
        names = by_word["blocked"]
        own = "waits for what it needs" if len(names) == 1 else "wait for what they need"
        return Look("blocked", PURPLE), f"{_listed(names)} {own}."
    if by_word["deferred"]:
        names = by_word["deferred"]
        own = "waits by its own policy" if len(names) == 1 else "wait by their own policies"
        return Look("deferred", PURPLE), f"{_listed(names)} {own}; the rest is current."
    return Look("up to date", GREEN), f"All {len(looks)} components are up to date."


_WORST_FIRST = ("died", "failed", "running", "stale", "never run", "maybe stale", "blocked", "deferred", "up to date")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
