"""`agent prove --recompute`: faults planted in own components are found, and sound ones are not accused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.execution.proving.proof import prove
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import Workspace, open_workspace
from tests.planted import code_of, planted_project

_SUM = "value = float(x.sum())"

# name -> kinds that may be found, code
FAULTS: dict[str, tuple[set[str], str]] = {
    # the clock
    "clock_now": (
        {"clock"},
        code_of("clock_now", "value = datetime.now().year + x[0]", "from datetime import datetime"),
    ),
    "clock_today": ({"clock"}, code_of("clock_today", "value = date.today().year", "from datetime import date")),
    "clock_time": ({"clock"}, code_of("clock_time", "value = int(time.time() > 5) + x[0]", "import time")),
    "clock_monotonic": ({"clock"}, code_of("clock_monotonic", "value = time.monotonic()", "import time")),
    # randomness
    "random_all": ({"randomness"}, code_of("random_all", "value = x[0] + random.random()", "import random")),
    "random_uuid": ({"randomness"}, code_of("random_uuid", "value = uuid.uuid4().hex", "import uuid")),
    "random_secret": ({"randomness"}, code_of("random_secret", "value = secrets.randbelow(2)", "import secrets")),
    "random_numpy": ({"randomness"}, code_of("random_numpy", "value = float(np.random.rand())", "import numpy as np")),
    "random_rng": (
        {"randomness"},
        code_of("random_rng", "value = float(np.random.default_rng().normal())", "import numpy as np"),
    ),
    # order of threads
    "threads_done": (
        {"threads"},
        code_of(
            "threads_done",
            """
            with ThreadPoolExecutor(4) as pool:
                waiting = [pool.submit(float, one) for one in x.to_list()[:6]]
                value = [one.result() for one in as_completed(waiting)]
            """,
            "from concurrent.futures import ThreadPoolExecutor, as_completed",
        ),
    ),
    "threads_append": (
        {"threads"},
        code_of(
            "threads_append",
            """
            value = []
            some = [threading.Thread(target=value.append, args=(one,)) for one in x.to_list()[:5]]
            for one in some:
                one.start()
            for one in some:
                one.join()
            """,
            "import threading",
        ),
    ),
    "threads_count": (
        {"threads"},
        code_of("threads_count", "value = float((x * os.cpu_count()).sum())", "import os"),
    ),
    # columns that are not declared
    "column_named": ({"column"}, code_of("column_named", 'value = days.read(key, ["x", "y"])["y"][0]')),
    "column_beside": (
        {"column"},
        code_of("column_beside", 'value = days.lake.read_table(days.require(key))["y"][0]'),
    ),
    "column_path": (
        {"column"},
        code_of("column_path", 'value = pl.read_parquet(ctx.lake.path_of(days.require(key)))["y"][1]'),
    ),
    # state
    "state_global": ({"state"}, code_of("state_global", "_seen.append(key)\nvalue = len(_seen)", above="_seen = []")),
    "state_default": (
        {"state"},
        code_of(
            "state_default",
            "value = total(x[0])",
            above="""
            def total(one, seen=[]):
                seen.append(one)
                return sum(seen)
            """,
        ),
    ),
    "state_class": (
        {"state"},
        code_of(
            "state_class",
            "Kept.last = x[0] + Kept.last / 2\nvalue = Kept.last",
            above="""
            class Kept:
                last = 0.0
            """,
        ),
    ),
    "state_cache": (
        {"state"},
        code_of(
            "state_cache",
            "value = first(x.len() and key, x)",
            above="""
            _cache = {}

            def first(key, x):
                return _cache.setdefault(key, float(x.sum()))
            """,
        ),
    ),
    # files
    "file_open": ({"file"}, code_of("file_open", 'value = x[0] * float((ctx.base / "rates.csv").read_text()[5:])')),
    "file_polars": ({"file"}, code_of("file_polars", 'value = pl.read_csv(ctx.base / "rates.csv")["rate"][0]')),
    "file_exists": ({"file"}, code_of("file_exists", 'value = int((ctx.base / "gone").exists())')),
    "file_listed": ({"file"}, code_of("file_listed", "value = len(list(ctx.base.iterdir()))")),
    # environment, machine, programs
    "env_get": ({"environment"}, code_of("env_get", 'value = os.environ.get("RATE", "1")', "import os")),
    "env_getenv": ({"environment"}, code_of("env_getenv", 'value = os.getenv("RATE") or "1"', "import os")),
    "machine_pid": ({"machine"}, code_of("machine_pid", "value = os.getpid()", "import os")),
    "program": (
        {"program"},
        code_of(
            "program", 'value = subprocess.run(["echo", "1"], capture_output=True).returncode', "import subprocess"
        ),
    ),
    # network
    "network": (
        {"network"},
        code_of(
            "network",
            """
            try:
                socket.create_connection(("127.0.0.1", 9), timeout=0.01).close()
                value = 1
            except OSError:
                value = 0
            """,
            "import socket",
        ),
    ),
    # look-back too short
    "look_back": (
        {"look-back"},
        code_of(
            "look_back",
            "value = sum(days.read(one)['x'].sum() for one in days.keys[max(0, position - 2) : position + 1])",
        ),
    ),
    # order of hashes
    "hash_set": (
        {"hash"},
        code_of("hash_set", 'value = list({f"{one:.4f}" for one in x.to_list()})'),
    ),
    "hash_text": ({"hash"}, code_of("hash_text", "value = hash(key) % 1000")),
    # locale and time zone
    "locale_read": ({"locale"}, code_of("locale_read", 'value = locale.format_string("%.2f", x[0])', "import locale")),
    "zone": (
        {"time zone"},
        code_of(
            "zone", "value = datetime.fromtimestamp(86400 * position).isoformat()", "from datetime import datetime"
        ),
    ),
    # a sum over all of history, continued
    "float_sum": (
        {"history"},
        code_of(
            "float_sum",
            """
            old = ctx.previous.by_key.get(days.keys[position - 1]) if ctx.previous and position else None
            if old is not None:
                value = ctx.lake.read_table(old)["value"][0] + x.sum()
            else:
                value = float(np.cumsum(days.read_all()["x"].to_numpy()[: 40 * (position + 1)])[-1])
            """,
            "import numpy as np",
        ),
    ),
    # a memo that is no part of the version
    "memo": (
        {"history"},
        code_of(
            "memo",
            """
            old = ctx.previous_bytes(".count")
            value = x[0] + (int(old) if old else 0)
            if key == days.keys[-1]:
                ctx.write_bytes(".count", b"0")
            """,
        ),
    ),
}
SOUND = {
    "sound_plain": code_of("sound_plain", _SUM),
    "sound_seeded": code_of(
        "sound_seeded",
        "random.seed(7)\nvalue = random.Random(key).random() + random.random() + float(np.random.default_rng(5).normal())",
        "import random\nimport numpy as np",
    ),
    "sound_timed": code_of(
        "sound_timed",
        """
        began = time.perf_counter()
        logging.getLogger("own").info("computing %s", key)
        value = float(x.sum())
        ctx.note(f"{time.perf_counter() - began:.3f} s")
        """,
        "import logging\nimport time",
    ),
    "sound_threads": code_of(
        "sound_threads",
        """
        with ThreadPoolExecutor(4) as pool:
            value = list(pool.map(float, x.to_list()))
        """,
        "from concurrent.futures import ThreadPoolExecutor",
    ),
    "sound_cache": code_of(
        "sound_cache",
        "value = twice(x[0])",
        "from functools import lru_cache",
        """
        @lru_cache
        def twice(one):
            return 2 * one
        """,
    ),
    "sound_set": code_of("sound_set", 'value = sorted({f"{one:.1f}" for one in x.to_list()})'),
    "sound_wide": code_of("sound_wide", 'value = float(days.lake.read_table(days.require(key))["x"].sum())'),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    codes = {name: code for name, (_, code) in FAULTS.items()} | SOUND
    folder = planted_project(tmp_path_factory.mktemp("planted") / "project", codes)
    with open_workspace(folder) as opened:
        report = perform(opened, Request(targets=tuple(codes)))
        assert report.status == "COMPLETED", report
        yield opened


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(workspace: Workspace, name: str) -> None:
    proof = prove(workspace, share=0.03, names=[name], seed=5)
    found = {one.kind for one in proof.findings}
    assert found == FAULTS[name][0], proof
    assert proof.share <= 0.03
    assert all(one.what and one.where and one.fix for one in proof.findings)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_component_is_not_accused(workspace: Workspace, name: str) -> None:
    proof = prove(workspace, share=0.03, names=[name])
    assert not proof.findings, proof
    assert proof.share <= 0.03
