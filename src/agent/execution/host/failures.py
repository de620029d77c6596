"""An exception of a project's code in words, the same here and from another process."""

from __future__ import annotations

import os
import re
import traceback

from agent.errors import AgentError
from agent.execution.host.interface import CodeMoved, Failure, Fault
from agent.runtime.transient import is_transient
from pipelines import errors
from pipelines.errors import PipelineError, ReleaseRefused

_FRAME = re.compile(r'^  File "(.+)", line (\d+), in ', re.MULTILINE)
_MOVED = "CodeMoved"


def failure_of(error: BaseException, *, peak: int | None = None) -> Failure:
    """`error` in words, with its traceback; call it where the error is handled."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, CodeMoved):
        return Failure(_MOVED, Fault(error.what, "\n".join(error.files)))
    if isinstance(error, PipelineError):
        kind = next(one.__name__ for one in type(error).__mro__ if one.__module__ == errors.__name__)
        fault = Fault(error.what, error.where, error.fix)
        refused = error.decisions if isinstance(error, ReleaseRefused) else None
        return Failure(kind, fault, trace, is_transient(error), peak, refused)
    where = _place(trace)
    fix = "correct it there, or what it was given; attempts.traceback has the whole way to it" if where else ""
    return Failure("", Fault(f"{type(error).__name__}: {error}", where, fix), trace, is_transient(error), peak)


def error_of(failure: Failure) -> PipelineError:
    """The error that a failed request of planning raises: of the same class where it is one of ours."""
    if failure.kind == _MOVED:
        return CodeMoved(failure.fault.where.split("\n"))
    kind = getattr(errors, failure.kind, AgentError) if failure.kind else AgentError
    found: PipelineError = kind(failure.fault.what, where=failure.fault.where, fix=failure.fault.fix)
    return found


def _place(trace: str) -> str:
    """The last line of a traceback that is no installed library's, as `file, line N`; empty where there is none."""
    libraries = ("site-packages", os.path.dirname(os.__file__), "<")  # noqa: PTH120 - a part of a text
    frames = [(path, line) for path, line in _FRAME.findall(trace) if not any(one in path for one in libraries)]
    return f"{frames[-1][0]}, line {frames[-1][1]}" if frames else ""
