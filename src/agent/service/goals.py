"""A goal in words to what a run computes. Pure; the mapping is documented in docs/concepts/run-queue.md.

A goal is a sentence or a target. Words that name a component make it a target; a verb that means "in any case" forces
it; `retrain` forces the component that has a model. Free text that names nothing known means a refresh up to the end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from agent.errors import UsageError
from pipelines.values import dataclass

_WORD = re.compile(r"[a-z][a-z0-9_]*")
_FORCING = frozenset({"recompute", "rebuild", "redo", "force", "rerun"})
_RETRAIN = frozenset({"retrain", "retraining", "train"})
_MODEL = "model"
# Words of a goal that mean all of it. Plain English verbs ("update", "refresh") change nothing and are not listed.
_EVERYTHING = frozenset({"publish", "release", "everything", "all", "pipeline"})


@dataclass(frozen=True)
class Intent:
    """What a goal comes to. `targets` empty means everything; `meaning` says it in a sentence."""

    targets: tuple[str, ...]
    force: tuple[str, ...]
    meaning: str


def read_goal(goal: str, components: Sequence[str]) -> Intent:
    """The intent behind `goal`, where `components` are the project's, in the order they are performed."""
    words = _WORD.findall(goal.lower())
    named = [name for name in components if _is_named(name, words)]
    forced = tuple(named) if _FORCING & set(words) else ()
    if _RETRAIN & set(words) and _MODEL in components:
        forced = tuple(dict.fromkeys([*forced, _MODEL]))
        named = [] if named in ([], [_MODEL]) else named
    whole = not named or named[-1] == components[-1]
    targets = () if whole else tuple(named)
    if not named and not forced and not _EVERYTHING & set(words):
        return Intent(
            (), (), f"the goal names no component, so everything is brought up to date, up to {components[-1]}"
        )
    first = f"recompute {_listed(forced)} in any case and " if forced else ""
    end = f"bring {_listed(targets)} and what it needs up to date" if targets else f"refresh up to {components[-1]}"
    return Intent(targets, forced, first + end)


def read_targets(targets: Collection[str], components: Sequence[str]) -> Intent:
    """The intent of explicit `targets`. Raises UsageError that lists what is possible for an unknown name."""
    unknown = sorted(set(targets) - set(components))
    if unknown:
        raise UsageError(
            f"there is no component {', '.join(repr(name) for name in unknown)}",
            where="targets",
            fix=f"possible are: {', '.join(components)}",
        )
    wanted = tuple(name for name in components if name in targets)
    return Intent(wanted, (), f"bring {_listed(wanted)} and what it needs up to date")


def _is_named(component: str, words: Sequence[str]) -> bool:
    """Whether a word is the component's name, in the singular or plural ("feature", "models")."""
    return any(word.removesuffix("s") == component.removesuffix("s") for word in words)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
