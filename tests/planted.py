"""A project of one root of many partitions and own components that read it, each with one fault, or none."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

DAYS = 400  # so many that the passes of a proof are within 3 % of them

_HEAD = '''"""A component of a person's own."""

from __future__ import annotations

import json
{imports}
import polars as pl

from pipelines.component import component
from pipelines.snapshot import Reads

{above}


@component(name="{name}", upstream={{"numbers": Reads(columns=("x",))}}, heavy=False)
def {name}(ctx, settings):
    days = ctx.inputs["numbers"]
    for position, key in enumerate(days.keys):
        if key not in days.changed and ctx.carry(key):
            continue
        x = days.read(key)["x"]
{body}
        ctx.write_bytes(key, json.dumps(value).encode())
'''

_NUMBERS = '''"""The root: many partitions of a few rows."""

import polars as pl

from pipelines.component import component


@component(name="numbers", heavy=False)
def numbers(ctx, settings):
    for day in range(DAYS):
        x = [((7919 * (40 * day + row)) % 10007) / 1000.1 for row in range(40)]
        ctx.write_table(f"d{day:04}", pl.DataFrame({"x": x, "y": [2 * one for one in x]}))
'''


def code_of(name: str, body: str, imports: str = "", above: str = "") -> str:
    """A component that makes `value` of the Series `x` for each partition `key`, by the lines `body`."""
    return _HEAD.format(
        name=name,
        imports=imports,
        above=textwrap.dedent(above),
        body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8),
    )


def planted_project(folder: Path, components: Mapping[str, str], days: int = DAYS) -> Path:
    """Write the project; components: name -> its code."""
    folder.mkdir(exist_ok=True)
    files = {
        "numbers_root": _NUMBERS.replace("DAYS", str(days)),
        **{f"own_{name}": code for name, code in components.items()},
    }
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    modules = ", ".join(f'"{name}.py"' for name in files)
    (folder / "agent.toml").write_text(
        f'[project]\nmodules = [{modules}]\n[executor]\nkind = "inline"\n', encoding="utf-8"
    )
    (folder / "rates.csv").write_text("rate\n2.5\n", encoding="utf-8")
    return folder


_SUM = "value = float(x.sum())"

# name -> kinds of which one or more are found, code
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
                value = json.loads(ctx.lake.read_bytes(old)) + x.sum()
            else:
                sums = sums if position else np.cumsum(days.read_all()["x"].to_numpy())
                value = float(sums[40 * position + x.len() - 1])
            """,
            "import numpy as np",
        ),
    ),
    # the same, updated from the changed partition on: only the order of additions differs
    "float_order": (
        {"history"},
        code_of(
            "float_order",
            """
            if "sums" in locals():
                pass
            elif position:
                old = json.loads(ctx.lake.read_bytes(ctx.previous.by_key[days.keys[position - 1]]))
                rest = np.concatenate([days.read(one)["x"].to_numpy() for one in days.keys[position:]])
                sums = np.concatenate([np.zeros(40 * position), old + np.cumsum(rest)])
            else:
                sums = np.cumsum(days.read_all()["x"].to_numpy())
            value = float(sums[40 * position : 40 * position + x.len()][-1])
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
                ctx.write_bytes(".count", b"%d" % (int(old or 0) + 1))
            """,
        ),
    ),
}
SOUND = {
    "sound_plain": code_of("sound_plain", _SUM),
    "sound_seeded": code_of(
        "sound_seeded",
        "random.seed(7)\nvalue = random.Random(key).random() + random.random() + np.random.default_rng(5).normal()",
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

# One of each kind, which every change is tested with; the others are the long form's.
FIRST = (
    *("clock_today", "random_uuid", "threads_done", "column_beside", "state_global", "file_polars", "network"),
    *("state_default", "look_back", "hash_set", "locale_read", "float_sum"),
)
FIRST_SOUND = ("sound_seeded", "sound_timed", "sound_threads")
