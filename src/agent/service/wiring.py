"""What goes before a run and what follows it: the one place that says so, for every trigger."""

from __future__ import annotations

from agent.clock import Clock, SystemClock
from agent.collect.before import collect_before
from agent.execution.upkeep.tidy import Upkeep
from agent.runtime.alerts import Alerts
from agent.runtime.around import After, Around
from agent.runtime.webhook import Webhook


def around_runs(*more: After, clock: Clock | None = None) -> Around:
    """For a run by a person, a schedule, the queue, the runner or the dashboard alike; `more` comes after the rest."""
    own = clock or SystemClock()
    return Around(before=(collect_before,), after=(Alerts(own), Webhook(own), Upkeep(clock), *more))
