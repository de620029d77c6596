"""Components: one of them closely, how it stands and why, its outputs and where they came from, its attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from agent.core.answers import Ref, listed
from agent.core.explain import causes_text, chain
from agent.core.graph import order
from agent.core.model import Plan
from agent.store.control.attempts import Attempt
from dashboard import address, charts, data, look, parts, run_data
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from dashboard.palette import BLUE, GREEN, GREY, PURPLE, RED
from dashboard.shapes import failure

TITLE, ICON, ORDER = "Components", ":material/account_tree:", 25
_REFRESH_SECONDS = 5.0
_ATTEMPTS, _OUTPUTS = 50, 8
_WORDS = {
    "succeeded": ("computed", GREEN),
    "failed": ("failed", RED),
    "crashed": ("its process died", PURPLE),
    "cancelled": ("cancelled", GREY),
    "running": ("running", BLUE),
}


def show(desk: Session) -> None:
    """The page."""
    names = list(order(desk.workspace.specs))
    asked = address.asked("component")
    if asked is not None and asked not in names:
        st.warning(f"There is no component {look.literal(asked[:100])} any more.", icon=":material/link_off:")
    address.follow("component", "component_chosen", {name: name for name in names}, names[0])
    chosen = st.pills(
        "Component",
        names,
        required=True,
        key="component_chosen",
        label_visibility="collapsed",
        on_change=address.keep,
        args=("component", "component_chosen"),
    )
    st.fragment(guarded(_closely), run_every=_REFRESH_SECONDS)(desk, chosen or names[0])


def _closely(desk: Session, name: str) -> None:
    at, states = data.now(), data.states(desk)
    row, tried = states.get(name), run_data.attempts_of(desk, name, _ATTEMPTS)
    st.subheader(name)
    specs = desk.workspace.specs
    upstream = [other for other in order(specs) if other in specs[name].upstream]
    below = [other for other in order(specs) if name in specs[other].upstream]
    look.line("Reads ", *_listed(upstream), "; read by ", *_listed(below))
    if row is None or not (row.run_count or tried):
        parts.nothing_yet(f"{name} has never run.")
        return
    plan = data.next_plan(desk, states, at)
    stand, sentences = parts.looks(states, plan, at)[name], _sentences(desk, name, plan)
    look.line(look.dot(stand.colour, stand.word), f": {stand.why}" if stand.why and not sentences else "")
    for sentence in sentences:
        look.line(f"{sentence}.")
    failure.show(desk, {name: row}, at, "component")
    _outputs(desk, name)
    st.subheader("Attempts")
    _durations(tried)
    look.table(
        [
            Column("Run", "num"),
            Column("Began", "short"),
            Column("State", "short"),
            Column("Why", "long"),
            Column("Seconds", "num"),
            Column("Rows", "num"),
            Column("Recomputed", "num"),
            Column("Carried over", "num"),
        ],
        [_row(one) for one in tried],
        label="attempts",
    )


def _sentences(desk: Session, name: str, plan: Plan | None) -> Sequence[str]:
    """What the next run would do with it, from the first cause on; nothing while a run goes on."""
    return () if plan is None else chain(name, desk.workspace.specs, {step.component: step for step in plan.steps})


def _outputs(desk: Session, name: str) -> None:
    outputs, lines = data.outputs_of(desk, name, _OUTPUTS)
    if not outputs:
        return
    st.subheader("Outputs", help="Its newest ones, and which releases used them.")
    rows = [
        (
            look.short(one.made.version),
            look.when(one.made.created_at),
            _run(one.made.run_id),
            f"{one.made.rows:,}",
            look.when(one.made.watermark),
            look.text(listed([Ref("release", release, release) for release in one.releases])),
        )
        for one in outputs
    ]
    look.table(
        [
            Column("Version"),
            Column("Made at", "short"),
            Column("Run", "num"),
            Column("Rows", "num"),
            Column("Data to", "short"),
            Column("Used by", "long"),
        ],
        rows,
        label="outputs",
    )
    with st.expander("Where the newest one came from", expanded=True):
        for line in lines:
            look.line(look.text(line))


def _durations(tried: Sequence[Attempt]) -> None:
    timed = [one for one in reversed(tried) if one.status == "succeeded" and one.seconds is not None]
    if len(timed) > 1:
        seconds = {"Seconds": [one.seconds for one in timed]}
        figure = charts.history([one.started_at for one in timed], seconds)
        figure.update_yaxes(title_text="Seconds")
        charts.put(figure, "durations", height=180, alt="Seconds of each success")


def _run(run_id: int | None) -> look.Html | None:
    return None if run_id is None else look.link(Ref("run", str(run_id), str(run_id)))


def _row(one: Attempt) -> tuple[object, ...]:
    word, colour = ("came out the same", BLUE) if one.is_cut_off else _WORDS[one.status]
    return (
        _run(one.run_id),
        look.when(one.started_at),
        look.dot(colour, word),
        causes_text(one.component, one.reasons),
        look.number(one.seconds, ".1f"),
        look.number(one.rows, ",.0f"),
        one.recomputed_partitions,
        one.carried_partitions,
    )


def _listed(names: Iterable[str]) -> list[str]:
    found = [parts.component(name) for name in names]
    return [part for one in found for part in (", ", one)][1:] or ["nothing"]
