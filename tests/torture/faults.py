"""Acts at a named point of a process: `sys.audit("tidemill.point", NAME)` in src/ calls every audit hook there is.

TIDE_FAULT is JSON: {"point": name, or * for any of a trader, "nth": 1, "do": "kill" | "stop" | "lose" | "note",
"log": path}. With a log, every point that is reached is written to it, a line each.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.paths import PROJECT

EVENT = "tidemill.point"
COLLECTING = ("inbox.", "collector.")
TRYING = ("try.", "settings.")
ANY = "*"  # whichever of a trader's comes as the nth
TRADING = ("trader.", "paper.", "venue.")
STEP = "f'trader.{name}."  # the two points of Desk.step, by the names of its calls


@cache
def points_in_source() -> dict[str, str]:
    """Every point that the source names -> its place. A name that is no plain text fails."""
    found: dict[str, str] = {}
    for path in sorted((PROJECT / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if EVENT not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sys.audit":
                if ast.unparse(node.args[1]).startswith(STEP):
                    continue
                event, name = (ast.literal_eval(argument) for argument in node.args)
                if event == EVENT:
                    assert name not in found, f"{name} is named twice: {found[name]}, {path.name}:{node.lineno}"
                    found[name] = f"{path.relative_to(PROJECT)}:{node.lineno}"
    return found


def points_of_runs() -> dict[str, str]:
    """Those that runs of a project pass; collecting has its own (tests/torture/test_inbox_kills.py), and so have tries
    (test_tries.py) and trading (test_trader_kills.py)."""
    others = COLLECTING + TRYING + TRADING
    return {name: place for name, place in points_in_source().items() if not name.startswith(others)}


@cache
def points_of_trading() -> dict[str, str]:
    """Those of the trader -> their place: two for each transaction under its lease, and those that are named beside
    them. Each call of Desk.step has a plain name of its own. A replay has none: its database is thrown away."""
    found = {name: place for name, place in points_in_source().items() if name.startswith(TRADING)}
    folder = PROJECT / "src/agent/trading"
    for path in sorted(set(folder.rglob("*.py")) - set(folder.glob("replay/*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("desk.step"):
                name = f"trader.{ast.literal_eval(node.args[0])}"
                assert f"{name}.committed" not in found, f"two transactions are called {name}"
                place = f"{path.relative_to(PROJECT)}:{node.lineno}"
                found |= {f"{name}.committing": place, f"{name}.committed": place}
    return found


def install() -> None:
    """Hook in, as TIDE_FAULT says. There is no way to take an audit hook out again: the process ends with it."""
    fault = json.loads(os.environ["TIDE_FAULT"])
    reached: Counter[str] = Counter()
    log = os.open(fault["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if fault.get("log") else None

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != EVENT:
            return
        name = str(arguments[0])
        reached[name] += 1
        reached[ANY] += name.startswith(TRADING)
        if log is not None:
            os.write(log, f"{name}\n".encode())
        if fault["point"] in (name, ANY) and reached[fault["point"]] == fault["nth"]:
            act(fault["do"], name)

    sys.addaudithook(hook)


def act(what: str, name: str) -> None:
    """End the whole group at once, as a power cut would; freeze the process; or lose the database's answer."""
    if what == "kill":
        top = os.getppid() if "agent.execution.host" in sys.orig_argv else os.getpid()
        if top != 1:  # who asked has died before: what is left is this process
            kill_all(top)
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "lose":
        from agent.errors import DatabaseUnavailable

        raise DatabaseUnavailable(f"the connection was lost at {name}")


def kill_all(pid: int) -> None:
    """SIGKILL for a process and the groups of its children, which are their own."""
    groups = [*(child for child in children_of(pid) if child != os.getpid()), os.getpgid(pid)]
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Processes that `pid` has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def read_log(path: Path) -> list[str]:
    """Points reached, in order."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
