"""Sees what a component's own code asks of the world around it: audit hooks for files, network and programs, a profile
function for calls of clocks, random numbers, the environment and the locale."""

from __future__ import annotations

import os
import random
import sys
import sysconfig
import threading
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, Self

import agent
import pipelines
from agent.execution.proving.values import Evidence

_HERE = tuple(str(Path(str(one.__file__)).parent) + os.sep for one in (agent, pipelines))
_PLACES = [sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")]
_LIBRARIES = tuple({one + os.sep for one in _PLACES[:2]} | {os.sep + "dist-packages" + os.sep})
_INSTALLED = (*{one + os.sep for one in _PLACES}, sys.prefix + os.sep, sys.base_prefix + os.sep + "lib")
_SYSTEM = ("/proc/", "/sys/", "/dev/null", "/usr/share/zoneinfo", "/etc/localtime", "/usr/lib")
# Modules of the standard library that look at clock, environment or random numbers for purposes of their own.
_BUSY = frozenset(
    {"logging", "concurrent", "threading", "queue", "tempfile", "multiprocessing", "warnings", "linecache"}
)
_THROUGH = frozenset({"threads", "network", "program"})  # what counts although such a module asks for it
_CODE = (".py", ".pyc", ".so", ".pyd")
_CLOCK = ("clock", True)
_TIMER = ("clock", False)  # durations are measured for a note: no fault until the output differs
_CALLS: dict[tuple[str, str], tuple[str, bool]] = {
    **{("time", name): _CLOCK for name in ("time", "time_ns", "clock_gettime", "clock_gettime_ns")},
    **{("time", name): _TIMER for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")},
    **{("time", name): _TIMER for name in ("process_time", "process_time_ns", "thread_time", "thread_time_ns")},
    **{("time", name): _TIMER for name in ("localtime", "gmtime", "ctime", "asctime", "strftime")},
    **{("posix", name): ("randomness", True) for name in ("urandom", "getrandom")},
    **{("posix", name): ("machine", True) for name in ("getpid", "getppid", "uname", "getlogin", "getloadavg")},
    ("_socket", "gethostname"): ("machine", True),
    **{("posix", name): ("machine", False) for name in ("cpu_count", "sched_getaffinity", "getcwd", "getuid")},
    **{("posix", name): ("file", True) for name in ("stat", "lstat", "access", "readlink", "statvfs")},
    **{("_locale", name): ("locale", True) for name in ("setlocale", "localeconv", "strcoll", "strxfrm")},
    **{("_locale", name): ("locale", True) for name in ("nl_langinfo", "getencoding", "_getdefaultlocale")},
    ("_thread", "start_new_thread"): ("threads", False),
    ("_uuid", "generate_time_safe"): ("clock", True),
    ("builtins", "hash"): ("hash", False),
    ("builtins", "id"): ("hash", False),
}
_NETWORK = frozenset(
    {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto"}
    | {"socket.bind", "socket.sendmsg", "urllib.Request"}
)
_PROGRAMS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"})
_LISTINGS = frozenset({"os.listdir", "os.scandir", "glob.glob", "sqlite3.connect"})
# The generator behind random.random(), which all code shares.
_SHARED = getattr(random.random, "__self__", None)
_SEED = random.Random.seed.__code__
# By their code: modules that are frozen into the interpreter have no file.
_ENVIRONMENT = frozenset(getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__iter__", "copy"))
_active: list[Watch] = []
_lock = threading.Lock()
_installed: list[bool] = []


class Forbidden(PermissionError):
    """A component under proof reaches no network and starts no program."""


class Watch:
    """While the block runs, what the files `own` ask for is gathered in `found`; reading below `allowed` is fine."""

    def __init__(self, own: Collection[str], allowed: Sequence[Path]) -> None:
        self.found: dict[tuple[str, str, str], Evidence] = {}
        self._own = frozenset(own)
        self._allowed = tuple(str(one.resolve()) for one in allowed)
        self._is_seeded = False
        self._busy = threading.local()

    def __enter__(self) -> Self:
        with _lock:
            if not _installed:
                sys.addaudithook(_hook)
                _installed.append(True)
        _active.append(self)
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)
        _active.remove(self)

    def note(
        self, kind: str, what: str, frame: FrameType | None, *, certain: bool = True, any_way: bool = False
    ) -> bool:
        """Evidence, where the code behind `frame` is the component's own; whether it was. any_way: also where a library
        asks in its name."""
        place, is_direct = self._place(frame, kind)
        if place:
            one = Evidence(kind, what, place, certain and (is_direct or any_way))
            self.found.setdefault((kind, what, place), one)
        return bool(place)

    def opened(self, path: object, frame: FrameType | None, how: str = "reads") -> None:
        """A file or folder is about to be read."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        text = os.path.realpath(os.fsdecode(path))
        if text.endswith(_CODE) or text.startswith((*_INSTALLED, *_SYSTEM)):
            return
        if any(text == one or text.startswith(one + os.sep) for one in self._allowed):
            return
        is_random = text in {"/dev/urandom", "/dev/random"}
        is_hidden = any(part.startswith(".") for part in Path(text).parts)  # caches and settings of libraries
        self.note("randomness" if is_random else "file", f"{how} {text}", frame, any_way=not is_hidden)

    def asked(self, what: str, frame: FrameType | None) -> None:
        """The component's own code asked the framework for `what`, which it did not declare."""
        while frame is not None and frame.f_code.co_filename not in self._own:
            frame = frame.f_back
        self.note("column", what, frame)

    def _place(self, frame: FrameType | None, kind: str) -> tuple[str, bool]:
        """File and line of the innermost own code that leads to `frame`, "" where there is none before the framework;
        whether no library lies between."""
        is_direct = True
        while frame is not None:
            name = frame.f_code.co_filename
            if name in self._own:
                return f"{name}:{frame.f_lineno}", is_direct
            if name.startswith("<frozen importlib") or name.startswith(_HERE):
                return "", False
            module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if module in _BUSY and kind not in _THROUGH:
                return "", False
            if any(one in name for one in _LIBRARIES):
                is_direct = False
            frame = frame.f_back
        return "", False

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if getattr(self._busy, "now", False) or event not in ("c_call", "call"):
            return
        self._busy.now = True
        try:
            if event == "c_call":
                self._called(frame, argument)
            else:
                self._entered(frame)
        finally:
            self._busy.now = False

    def _called(self, frame: FrameType, function: Any) -> None:
        name = getattr(function, "__name__", "")
        of = getattr(function, "__self__", None)
        if isinstance(of, random.Random):
            if of is _SHARED:
                if name == "seed":
                    self._is_seeded = True
                elif name in ("random", "getrandbits"):
                    self.note(
                        "randomness", "draws from the random numbers all share", frame, certain=not self._is_seeded
                    )
            return
        if isinstance(of, type) and issubclass(of, date) and name in ("now", "utcnow", "today"):
            self.note("clock", f"calls {of.__name__}.{name}()", frame)
            return
        module = getattr(function, "__module__", None)
        known = _CALLS.get((module, name)) if isinstance(module, str) else None
        if known is not None and known[0] == "file":
            names = frame.f_code.co_varnames[:1]
            path = frame.f_locals.get(names[0]) if names else None
            self.opened(path, frame, "looks at")
        elif known is not None:
            shown = "os" if module == "posix" else str(module).lstrip("_")
            self.note(known[0], f"calls {shown}.{name}()", frame, certain=known[1])

    def _entered(self, frame: FrameType) -> None:
        code = frame.f_code
        name, file = code.co_name, code.co_filename
        if code is _SEED and frame.f_locals.get("a", 0) is None:
            self._is_seeded = False
            self.note("randomness", "makes random numbers without a seed", frame)
        elif code in _ENVIRONMENT:
            if frame.f_locals.get("self") is os.environ:
                key = frame.f_locals.get("key")
                self.note("environment", f"reads the environment variable {key}" if key else "reads os.environ", frame)
        elif name.startswith(("read_", "scan_")) and any(one in file for one in _LIBRARIES) and code.co_argcount:
            path = frame.f_locals.get(code.co_varnames[0])
            if isinstance(path, str | os.PathLike) and "://" not in str(path):
                self.opened(path, frame)


def _caller() -> FrameType | None:
    """The frame of the code that the audit hook was called for."""
    return sys._getframe(2)  # noqa: SLF001 - there is no other way to it


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active:
        return
    if event == "open":
        flags = arguments[2] if len(arguments) > 2 else 0
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_CREAT):
            _active[-1].opened(arguments[0], _caller())
    elif event in _LISTINGS:
        _active[-1].opened(arguments[0] if arguments else None, _caller(), "looks into")
    elif event in _NETWORK:
        _refuse("network", f"reaches the network ({event})", _caller())
    elif event in _PROGRAMS:
        _refuse("program", f"starts another program ({arguments[0]})", _caller())


def _refuse(kind: str, what: str, frame: FrameType | None) -> None:
    if _active[-1].note(kind, what, frame, any_way=True):
        raise Forbidden("a component under proof reaches no network and starts no program")
