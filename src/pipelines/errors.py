"""One tree of errors for the pipeline. Each says what happened, where, and how to fix it."""

from __future__ import annotations


class PipelineError(Exception):
    """Something in the pipeline went wrong.

    `what` is the fact, `where` the file, row, setting or component, `fix` the next thing to do.
    """

    transient = False  # True: the same call may succeed later, so the orchestrator tries again

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.fix:
            parts.append(f"  fix:   {self.fix}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip out of a child process (keyword-only arguments do not by default)."""
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[PipelineError], what: str, where: str, fix: str) -> PipelineError:
    return kind(what, where=where, fix=fix)


class SettingsError(PipelineError):
    """A setting is unknown, missing or out of bounds."""


class BadInput(PipelineError):
    """Input data cannot be read or breaks a rule: an unreadable file, a missing column, a negative price."""


class ContractViolation(PipelineError):
    """A component's output breaks its own data contract; nothing of it was published."""


class ReleaseRefused(PipelineError):
    """A gate stood between the predictions and their release. decisions: what it would have published, as text, which
    the forward record keeps all the same."""

    decisions: str | None = None


class LakeError(PipelineError):
    """A partition file is missing, altered, or cannot be written."""


class TransientError(PipelineError):
    """A fault that is likely to pass: a reset connection, HTTP 429 or 5xx, a lock timeout."""

    transient = True
