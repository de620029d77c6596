"""Errors of the orchestrator, each with the exit code a shell script may rely on.

0 done (also: nothing to do), 1 a component failed, 2 usage or settings, 3 busy (another holds the lease).
"""

from __future__ import annotations

from pipelines.errors import PipelineError


class AgentError(PipelineError):
    """The orchestrator cannot go on. Says what, where and the fix, like every error of the pipeline."""

    exit_code = 1


class UsageError(AgentError):
    """A command or request that cannot be carried out as written."""

    exit_code = 2


class DatabaseError(AgentError):
    """The database refuses, is missing its tables, or is newer than this program."""

    exit_code = 2


class DatabaseUnavailable(DatabaseError):
    """The database cannot answer now, and may soon: a lock, a deadlock, a restart, a lost connection."""

    transient = True


class Busy(AgentError):
    """Another process holds the lease on what was asked for."""

    exit_code = 3


class LeaseLost(AgentError):
    """This process's lease was taken over: its result is refused and its files stay unreferenced."""


class Conflict(AgentError):
    """The thing is not in a state that allows this (HTTP 409)."""

    exit_code = 3


class Leaving(AgentError):
    """This process was asked to stop, and does not wait for the end of what was asked (HTTP 503)."""


class Untrusted(AgentError):
    """Another user could change the code that is to run (HTTP 403)."""

    exit_code = 2


class NotFound(AgentError):
    """There is no such run, release, project or component."""

    exit_code = 2
