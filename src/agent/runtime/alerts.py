"""Messages to people: of a run that failed, a component that fails again and again, a release that was refused; from
a trader; and that it is over.

At most one message per cause and period, however many processes run. `recovered` is sent once for each cause that a
message was sent for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime, timedelta

from agent.clock import Clock, SystemClock
from agent.runtime.around import Ended
from agent.settings import Settings
from agent.store import state
from agent.store.control import alerts
from agent.store.database.engine import Database
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.alerts")


@dataclass(frozen=True)
class Cause:
    """Something worth a message. `key` names it in the table `alerts`. period: at most one message in this time, where
    it is not that of the settings."""

    key: str
    title: str
    text: str
    period: timedelta | None = field(default=None)


@dataclass(frozen=True)
class Alerts:
    """Follows a run (see `agent.runtime.around`)."""

    clock: Clock = field(default_factory=SystemClock)

    def __call__(self, ended: Ended) -> None:
        """Send what is due."""
        if ended.settings.alerts.urls:
            present, over = _causes(ended)
            words = f"Run {ended.run.id} ended well again"
            tell(ended.settings, ended.database, present, over, now=self.clock.now(), words=words)


def tell(
    settings: Settings, database: Database, present: Sequence[Cause], over: Sequence[str], *, now: datetime, words: str
) -> None:
    """Send what is due of causes that are there, and once that those of `over` (keys) are gone, in these words."""
    if not settings.alerts.urls:
        return
    usual = timedelta(minutes=settings.alerts.period_minutes)
    with database.writing() as connections:
        conn = connections.control
        due = [one for one in present if alerts.claim(conn, one.key, period=one.period or usual, now=now)]
        recovered = alerts.clear(conn, over)
    for cause in due:
        _send(settings, cause.title, cause.text)
    if recovered:
        names = ", ".join(key.partition("/")[2] for key in recovered)
        _send(settings, f"Tidemill: recovered: {names}", f"{words}: {names}.")


def _causes(ended: Ended) -> tuple[list[Cause], list[str]]:
    """Causes of now, and keys of those that are over."""
    run, project = ended.run, f"project {ended.run.project_id}"
    of_run = f"run/{project}"
    present, over = [], []
    if run.status == "FAILED":
        present.append(Cause(of_run, f"Tidemill: run {run.id} failed", f"{run.goal} ({project})\n{run.error}"))
    elif run.status == "COMPLETED":
        over.append(of_run)
    if ended.releasing is None:
        return present, over
    with ended.database.reading() as connections:
        states = state.load_states(connections.project)
    for name, one in states.items():
        key = f"component/{name} of {project}"
        if one.consecutive_failures == 0:
            over += [key, f"release/{name} of {project}"]
            continue
        error = f"({project})\n{one.last_error}"
        if name in ended.releasing:
            title = f"Tidemill: release refused by {name}"
            present.append(Cause(f"release/{name} of {project}", title, error))
        if one.consecutive_failures >= ended.settings.alerts.failures:
            title = f"Tidemill: {name} failed {one.consecutive_failures} times in a row"
            present.append(Cause(key, title, error))
    return present, over


def _send(settings: Settings, title: str, text: str) -> None:
    import apprise

    sender = apprise.Apprise()
    for number, url in enumerate(settings.alerts.urls, start=1):
        if not sender.add(url):  # the address itself is a secret
            logger.error("[alerts] urls: number %d is no address that apprise understands", number)
    if not sender.notify(body=text, title=title):
        logger.error("the message %r could not be delivered to every address in [alerts] urls", title)
