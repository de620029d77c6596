"""Asks a component's own policy whether new inputs alone are worth a recompute yet (retraining a model)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.model import Code, Reason, State
from agent.execution.host.interface import Question
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace
from agent.store.outputs import catalog, projections
from pipelines.component import Deferral, Due


def ask_policy(
    workspace: Workspace, survey: Inspector, name: str, states: Mapping[str, State], reasons: Sequence[Reason]
) -> Deferral | Due | None:
    """What the policy of `name` says: wait, and for what; go ahead, and why; None where it has nothing to say.

    A policy is asked only where more of the same data is the sole cause. Changed code, a person's mark or a failure
    goes ahead; so does an input that other code or settings made: its columns may mean something else now.
    """
    component, state = workspace.facts.components[name], states[name]
    if not component.has_policy or any(reason.code != Code.INPUT_CHANGED for reason in reasons):
        return None
    if state.output_snapshot_id is None:
        return None
    ids = []
    for upstream in component.upstream:
        newest, known = states[upstream].output_snapshot_id, state.inputs.get(upstream)
        if newest is None or known is None:
            return None
        ids.append((newest, known.snapshot_id))
    with workspace.database.reading() as connections:
        conn = connections.project
        if any(catalog.makers_of(conn, newest) != catalog.makers_of(conn, known) for newest, known in ids):
            return None
        live = projections.live_score(conn)
    now = {upstream: survey.snapshot(newest) for upstream, (newest, _) in zip(component.upstream, ids, strict=True)}
    before = {upstream: survey.snapshot(known) for upstream, (_, known) in zip(component.upstream, ids, strict=True)}
    return workspace.host.ask_policy(
        Question(
            component=name,
            inputs=now,
            previous_inputs=before,
            previous=survey.snapshot(state.output_snapshot_id),
            live_brier=live.brier,
            live_count=live.settled,
        )
    )
