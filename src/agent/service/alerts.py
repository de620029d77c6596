"""Messages to people after a run: it failed, a component fails again and again, a release was refused, recovered.

At most one message a cause a period, however many processes run. `recovered` is told once for each cause that was told.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from agent.clock import Clock, SystemClock
from agent.execution.workspace import Workspace
from agent.settings import Settings
from agent.store import alerts, state
from agent.store.engine import Database
from agent.store.runs import Run

logger = logging.getLogger("tidemill.alerts")


@dataclass(frozen=True)
class Cause:
    """Something worth a message. `key` names it in the table `alerts`."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Alerts:
    """Follows a run (see `AfterRun`). `settings` and `database` are the server's."""

    settings: Settings
    database: Database
    clock: Clock = field(default_factory=SystemClock)

    def __call__(self, run: Run, workspace: Workspace | None) -> None:
        """Send what is due."""
        if not self.settings.alerts.urls:
            return
        present, over = self._causes(run, workspace)
        now, period = self.clock.now(), timedelta(minutes=self.settings.alerts.period_minutes)
        with self.database.writing() as connections:
            due = [one for one in present if alerts.claim(connections.control, one.key, period=period, now=now)]
            recovered = alerts.clear(connections.control, over)
        for cause in due:
            self._send(cause.title, cause.text)
        if recovered:
            names = ", ".join(key.partition("/")[2] for key in recovered)
            self._send(f"Tidemill: recovered: {names}", f"Run {run.id} ended well again: {names}.")

    def _causes(self, run: Run, workspace: Workspace | None) -> tuple[list[Cause], list[str]]:
        """Causes of now, and keys of those that are over."""
        of_run, project = f"run/project {run.project_id}", f"project {run.project_id}"
        present, over = [], []
        if run.status == "FAILED":
            present.append(Cause(of_run, f"Tidemill: run {run.id} failed", f"{run.goal} ({project})\n{run.error}"))
        elif run.status == "COMPLETED":
            over.append(of_run)
        if workspace is None:
            return present, over
        with workspace.database.reading() as connections:
            states = state.load_states(connections.project)
        for name, one in states.items():
            component = workspace.project.components.get(name)
            key = f"component/{name} of {project}"
            if one.consecutive_failures == 0:
                over += [key, f"release/{name} of {project}"]
                continue
            error = f"({project})\n{one.last_error}"
            if component is not None and component.is_release:
                title = f"Tidemill: release refused by {name}"
                present.append(Cause(f"release/{name} of {project}", title, error))
            if one.consecutive_failures >= self.settings.alerts.failures:
                title = f"Tidemill: {name} failed {one.consecutive_failures} times in a row"
                present.append(Cause(key, title, error))
        return present, over

    def _send(self, title: str, text: str) -> None:
        import apprise

        sender = apprise.Apprise()
        for number, url in enumerate(self.settings.alerts.urls, start=1):
            if not sender.add(url):  # the address itself is a secret
                logger.error("[alerts] urls: number %d is no address that apprise understands", number)
        if not sender.notify(body=text, title=title):
            logger.error("the message %r could not be delivered to every address in [alerts] urls", title)
