"""A project of one root of many partitions and own components that read it, each with one fault, or none."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

DAYS = 340  # so many that the passes of a proof are within 3 % of them

_HEAD = '''"""A component of a person's own."""

from __future__ import annotations

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
        ctx.write_table(key, pl.DataFrame({{"value": value if isinstance(value, list) else [value]}}))
'''

_NUMBERS = f'''"""The root: many partitions of a few rows."""

import polars as pl

from pipelines.component import component


@component(name="numbers", heavy=False)
def numbers(ctx, settings):
    for day in range({DAYS}):
        x = [((7919 * (40 * day + row)) % 10007) / 1000.1 for row in range(40)]
        ctx.write_table(f"d{{day:04}}", pl.DataFrame({{"x": x, "y": [2 * one for one in x]}}))
'''


def code_of(name: str, body: str, imports: str = "", above: str = "") -> str:
    """A component that makes `value` of the Series `x` for each partition `key`, by the lines `body`."""
    return _HEAD.format(
        name=name,
        imports=imports,
        above=textwrap.dedent(above),
        body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8),
    )


def planted_project(folder: Path, components: Mapping[str, str]) -> Path:
    """Write the project; components: name -> its code."""
    folder.mkdir(exist_ok=True)
    files = {"numbers_root": _NUMBERS, **{f"own_{name}": code for name, code in components.items()}}
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    modules = ", ".join(f'"{name}.py"' for name in files)
    (folder / "agent.toml").write_text(
        f'[project]\nmodules = [{modules}]\n[executor]\nkind = "inline"\n', encoding="utf-8"
    )
    (folder / "rates.csv").write_text("rate\n2.5\n", encoding="utf-8")
    return folder
