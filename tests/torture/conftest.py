"""Fixtures of the torture tests, and the figures they leave behind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.torture.beside import Beside
from tests.torture.choice import repeated_by
from tests.torture.world import Nursery, World

FIGURES: Counter[str] = Counter()


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether this is the long form: TORTURE=long, `make torture`."""
    return os.environ.get("TORTURE") == "long"


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed of what is random, printed at the end; TORTURE_SEED repeats a run."""
    return int(os.environ.get("TORTURE_SEED") or int.from_bytes(os.urandom(4), "big"))


@pytest.fixture
def world(tmp_path: Path, database_url: str, nursery: Nursery) -> Iterator[World]:
    """A project on an empty database of either kind. Whatever still runs at the end is killed."""
    made = World(tmp_path / "project", database_url, nursery)
    yield made
    made.kill_all()


@pytest.fixture
def beside(tmp_path: Path, database_url: str, nursery: Nursery) -> Iterator[Beside]:
    """A project of a server that is not its own; its database is of either kind."""
    made = Beside(tmp_path / "project", database_url, nursery)
    yield made
    made.kill_all()


@pytest.fixture
def figures() -> Counter[str]:
    """Counts to add to: rounds, kills, recoveries, refused commits; printed at the end of the session."""
    return FIGURES


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of xdist hands its figures to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["torture"] = dict(FIGURES)


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_testnodedown(node: Any) -> None:
    """Add up the figures of a process that has ended."""
    FIGURES.update(getattr(node, "workeroutput", {}).get("torture", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    if FIGURES:
        terminalreporter.section("torture")
        for name, count in sorted(FIGURES.items()):
            terminalreporter.write_line(f"{name:<60} {count}")
        if os.environ.get("TORTURE") != "long":
            terminalreporter.write_line(f"a choice of the fault points, again by: {repeated_by()}")
