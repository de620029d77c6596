"""How the project stands, in words and colours. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.core.model import State, Step
from agent.core.standing import Word, standing
from dashboard.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED


@dataclass(frozen=True)
class Look:
    """How a component is shown: a word, its colour, and why, in one line."""

    word: str
    colour: str
    why: str = ""


# What matters most comes first.
_COLOURS: Mapping[Word, str] = {
    "died": RED,
    "failed": RED,
    "running": BLUE,
    "stale": ORANGE,
    "never run": GREY,
    "maybe stale": ORANGE,
    "blocked": PURPLE,
    "deferred": PURPLE,
    "up to date": GREEN,
}


def look(state: State, step: Step | None, *, is_at_work: bool) -> Look:
    """How a component stands: see agent.core.standing."""
    found = standing(state, step, is_at_work=is_at_work)
    return Look(found.word, _COLOURS[found.word], found.why.partition("\n")[0])


def plain(word: Word) -> Look:
    """What is shown with a word alone."""
    return Look(word, _COLOURS[word])


def headline(looks: Mapping[str, Look], *, is_running: bool, has_release: bool) -> tuple[Look, str]:
    """One line of health: what matters most comes first."""
    by_word = {word: [name for name, one in looks.items() if one.word == word] for word in _COLOURS}
    if by_word["died"]:
        return plain(
            "died"
        ), f"The process that ran {_listed(by_word['died'])} died. Nothing is lost: the next run takes over."
    if by_word["failed"]:
        return plain("failed"), f"{_listed(by_word['failed'])} failed: the error is below."
    if is_running:
        return plain("running"), "A run is going on."
    if not has_release and all(one.word == "never run" for one in looks.values()):
        return plain("never run"), "No run yet: open the Agent tab and press Run Agent Once, or type agent run."
    due = [*by_word["stale"], *by_word["never run"]]
    if due:
        verb = "is" if len(due) == 1 else "are"
        return plain("stale"), f"{_listed(due)} {verb} stale: the next run recomputes what changed."
    if by_word["blocked"]:
        names = by_word["blocked"]
        own = "waits for what it needs" if len(names) == 1 else "wait for what they need"
        return plain("blocked"), f"{_listed(names)} {own}."
    if by_word["deferred"]:
        names = by_word["deferred"]
        own = "waits by its own policy" if len(names) == 1 else "wait by their own policies"
        return plain("deferred"), f"{_listed(names)} {own}; the rest is current."
    return plain("up to date"), f"All {len(looks)} components are up to date."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
