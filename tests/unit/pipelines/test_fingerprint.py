"""What counts as a change of code or settings, and what does not; Python versions agree."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fingerprint import MODULE_LEVEL, code_version, definition_hashes, settings_hash, source_hash
from tests.paths import PROJECT

CODE = '''
"""Docstring."""
import math

RSI_SPAN = 14
LIMITS = {"low": 0, "high": 1}

def rsi(close: list[float], span: int = RSI_SPAN) -> float:
    """Relative strength."""
    return math.fsum(close[-span:]) if close else 0.0

class Fee:
    bps = 2.0
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Docstring.", "Another docstring."),
        ('    """Relative strength."""\n', ""),
        ("RSI_SPAN = 14", "RSI_SPAN = 14  # bars"),
        ("import math\n", "\n\n# comment\nimport math\n\n"),
        ('{"low": 0, "high": 1}', "{\n    'low': 0,\n    'high': 1,\n}"),
        ("close: list[float], span: int = RSI_SPAN", "\n    close: list[float],\n    span: int = RSI_SPAN,\n"),
        ("    ", "  "),
        ("[-span:]", "[ - span : ]"),
        ("\n", "\r\n"),
        ("fsum(close[-span:])", "fsum(\n        close[-span:],\n    )"),
        ("RSI_SPAN = 14", "RSI_SPAN = \\\n    14"),
    ],
)
def test_layout_and_words_do_not_count(old: str, new: str) -> None:
    assert old in CODE
    assert source_hash(CODE.replace(old, new)) == source_hash(CODE)
    before, after = definition_hashes(CODE), definition_hashes(CODE.replace(old, new))
    assert {name: value for name, (value, _) in before.items()} == {name: value for name, (value, _) in after.items()}


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("= 14", "= 15", "RSI_SPAN"),
        ('"low": 0', '"low": 0.0', "LIMITS"),
        ('"low"', '"Low"', "LIMITS"),
        ("if close else", "if not close else", "rsi"),
        ("bps = 2.0", "bps = 3.0", "Fee"),
        ("import math", "import cmath as math", MODULE_LEVEL),
        ("float:\n", "float:\n    close = close[1:]\n", "rsi"),
    ],
)
def test_a_change_of_meaning_counts_and_is_found_where_it_is(old: str, new: str, where: str) -> None:
    changed = CODE.replace(old, new)
    assert source_hash(changed) != source_hash(CODE)
    before, after = definition_hashes(CODE), definition_hashes(changed)
    assert [name for name in before if before[name][0] != after[name][0]] == [where]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = (1,)", "x = (1)"),
        ("x = d[1,]", "x = d[1]"),
        ("x = (lambda a, b: a,)", "x = (lambda a, b: a)"),
        ("match x:\n    case (1,):\n        pass", "match x:\n    case (1):\n        pass"),
        ("return_ = [(1,)]", "return_ = [(1)]"),
        ("x = 1,", "x = 1"),
        ("if a:\n    b\nc", "if a:\n    b\n    c"),
        ("x = 'a'", "x = b'a'"),
        ("x = f'{a}'", "x = '{a}'"),
        ("x = r'\\n'", "x = '\\n'"),
        ("x = '1'", "x = 1"),
    ],
)
def test_look_alikes_differ(one: str, other: str) -> None:
    assert source_hash(one) != source_hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f(x,)", "f(x)"),
        ("f(lambda a, b: a,)", "f(lambda a, b: a)"),
        ("x = [1,]", "x = [1]"),
        ("x = {1,}", "x = {1}"),
        ("x = (1, 2,)", "x = (1, 2)"),
        ("x = d[1, 2,]", "x = d[1, 2]"),
        ("def f(a,): pass", "def f(a): pass"),
        ("x = 'it\\'s'", 'x = "it\'s"'),
        ("x = u'a'", "x = 'a'"),
        ("x = r'a'", "x = 'a'"),
    ],
)
def test_two_ways_to_write_one_thing_agree(one: str, other: str) -> None:
    assert source_hash(one) == source_hash(other)


def test_names_of_definitions_and_their_lines() -> None:
    source = (
        '"""Doc."""\n'
        "from x import y\n"
        "A = B = 1\n"
        "C, (D, *E) = z\n"
        "F: int = 3\n"
        "G: int\n"
        "@decorated\n"
        "def f():\n"
        '    """Doc."""\n'
        "    inner = 1\n"
        "async def g(): ...\n"
        "class H:\n"
        "    attribute = 2\n"
        "A += 1\n"
        'D["key"] = 5\n'
    )
    lines = {name: line for name, (_, line) in definition_hashes(source).items()}
    assert lines == {MODULE_LEVEL: 2, "A": 3, "B": 3, "C": 4, "D": 4, "E": 4, "F": 5, "G": 6, "f": 8, "g": 11, "H": 12}


def test_a_definition_does_not_depend_on_its_neighbours() -> None:
    alone = definition_hashes("X = 1\n")["X"][0]
    assert definition_hashes("def f():\n    if 1:\n        pass\nX = 1\n")["X"][0] == alone
    assert definition_hashes("Y = 2\nX = 1\nclass Z: ...\n")["X"][0] == alone


def test_nothing_but_a_docstring_is_nothing() -> None:
    assert definition_hashes('"""Doc."""\n# comment\n') == {}
    assert source_hash('"""Doc."""\n') == source_hash("")


def test_code_that_is_none_is_refused() -> None:
    with pytest.raises(SyntaxError):
        definition_hashes("def f(:\n")


def test_a_needless_escape_warns_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source_hash('x = "\\d"') == source_hash("x = '\\d'")


def test_code_version_counts_names_and_texts_but_no_order() -> None:
    assert code_version({"a": "1", "b": "2"}) == code_version({"b": "2", "a": "1"})
    assert len({code_version({"a": "1"}), code_version({"b": "1"}), code_version({"a": "2"}), code_version({})}) == 4


_OTHERS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.1[1-9].*/bin/python"))
_AWKWARD = r'''
x = f"{a!r:>{width}} µ {'nested'} {{}}" + f'ä{b}' "tail"
y = f"""
  {a} # no comment
"""
s = "☃ \N{SNOWMAN} \x00 \ud7ff 🫨"
async def g():
    async with a as b, c:
        await d
    return [i async for i in b if (yield)]
match z:
    case {"k": [1, *rest]} | None: pass
def h(a, /, b: int = 1_000, *, c=0x1F, **k) -> "int": return a @ b ** -c if not k else ...
'''


@pytest.mark.parametrize("python", _OTHERS, ids=lambda path: path.parts[-3])
def test_other_pythons_agree(python: Path) -> None:
    files = sorted((PROJECT / "src" / "pipelines").glob("*.py"))
    program = (
        "import json, sys, pathlib\n"
        "from pipelines.fingerprint import source_hash, definition_hashes\n"
        "texts = [*(pathlib.Path(p).read_text(encoding='utf-8') for p in sys.argv[1:]), sys.stdin.read()]\n"
        "print(json.dumps([[source_hash(t), definition_hashes(t)] for t in texts]))\n"
    )
    before = [path.stat().st_mtime_ns for path in files]
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src"), "PYTHONIOENCODING": "utf-8"}
    answer = subprocess.run(
        [python, "-B", "-c", program, *files],
        input=_AWKWARD,
        text=True,
        capture_output=True,
        env=environment,
        check=True,
    )
    texts = [*(path.read_text(encoding="utf-8") for path in files), _AWKWARD]
    ours = [[source_hash(text), {n: list(v) for n, v in definition_hashes(text).items()}] for text in texts]
    if before != [path.stat().st_mtime_ns for path in files]:
        pytest.skip("a file of the project was edited while it was compared")
    assert json.loads(answer.stdout) == ours


@dataclass(frozen=True)
class Inner:
    fee_bps: float = 2.0


@dataclass(frozen=True)
class Settings:
    one: Any = 1
    inner: Inner = field(default_factory=Inner)


@given(
    st.lists(
        st.one_of(
            st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, -0.0]), st.text("1a,", max_size=2),
            st.lists(st.integers(0, 1), max_size=2), st.dictionaries(st.text("ab", max_size=1), st.booleans()),
        ),
        min_size=2, max_size=2,
    )
)  # fmt: skip
def test_settings_hash_alike_only_where_kind_and_value_are(values: list[Any]) -> None:
    one, other = (Settings(value) for value in values)
    same = repr(values[0]) == repr(values[1]) or (isinstance(values[0], dict) and values[0] == values[1])
    assert (settings_hash(one) == settings_hash(other)) == same


def test_settings_see_into_nested_ones_and_every_kind_of_value() -> None:
    kinds = [1, 1.0, "1", True, None, Decimal(1), date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=1)]
    assert len({settings_hash(Settings(kind)) for kind in kinds}) == len(kinds)
    assert settings_hash(Settings(inner=Inner(3.0))) != settings_hash(Settings())
    assert settings_hash(Settings((1, 2))) == settings_hash(Settings([1, 2]))
    assert settings_hash(Settings(frozenset("ab"))) == settings_hash(Settings({"b", "a"}))
    with pytest.raises(TypeError, match="object cannot be hashed"):
        settings_hash(Settings(object()))


def test_a_setting_that_only_says_when_makes_nothing_stale() -> None:
    from pipelines.components.model import Settings

    assert settings_hash(Settings(retrain="rows", retrain_rows=7)) == settings_hash(Settings())
    assert settings_hash(Settings(horizon_bars=7)) != settings_hash(Settings())
