"""Own code whose signature does not fit is refused when it is loaded, with its file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.errors import SettingsError
from pipelines.feature import own_features
from pipelines.project import load_project
from pipelines.signatures import require_source

HEAD = "from dataclasses import dataclass\nfrom pipelines.component import component\n\n\n"  # the code begins in line 5
COMPONENTS = [
    ("@component()\ndef own(ctx):\n    pass", 5, "own(ctx, settings): too many positional arguments"),
    ("@component()\ndef own(ctx, settings, more):\n    pass", 5, "missing a required argument: 'more'"),
    ("@component()\ndef own(ctx, *, settings):\n    pass", 5, "too many positional arguments"),
    ("@component()\nasync def own(ctx, settings):\n    pass", 5, "is a coroutine function"),
    ("@component()\ndef own(ctx, settings):\n    yield 1", 5, "is a generator function"),
    ("@component\ndef own(ctx, settings):\n    pass", 5, "takes 1 positional argument but 2 were given"),
    ("x = 1\n@component(upstream='ticks')\ndef own(ctx, settings):\n    pass", 6, "is one text, not names"),
    ("class S:\n    pass\n\n@component(settings=S)\ndef own(ctx, settings):\n    pass", 5, "no frozen dataclass: S"),
    (
        "@dataclass\nclass S:\n    a: int = 1\n\n@component(settings=S)\ndef own(ctx, settings):\n    pass",
        5,
        "no frozen",
    ),
    ("def p():\n    pass\n\n@component(policy=p)\ndef own(ctx, settings):\n    pass", 5, "called as p(observation)"),
    ("def s(x):\n    pass\n\n@component(settle=s)\ndef own(ctx, settings):\n    pass", 5, "s(inputs, pending)"),
    ("def m(x):\n    pass\n\n@component(extra_modules=m)\ndef own(ctx, settings):\n    pass", 5, "m(settings, base)"),
    ("def c(x):\n    pass\n\n@component(contract=c)\ndef own(ctx, settings):\n    pass", 5, "c(key, frame)"),
    ("component()(3)", 5, "a component is int 3, not a function"),
    ("x = 1\n\ndef own(:\n    pass", 7, "SyntaxError"),
    ("def helper():\n    return 1 / 0\n\nhelper()", 6, "ZeroDivisionError"),
]


def test_a_component_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for number, (code, line, said) in enumerate(COMPONENTS):
        own = tmp_path / f"own{number}.py"  # a file of its own each: bytecode of the same second and size is reused
        (tmp_path / "agent.toml").write_text(f"[project]\nmodules = ['{own.name}']\n", encoding="utf-8")
        own.write_text(HEAD + code + "\n", encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            load_project(tmp_path / "agent.toml")
        assert said in str(caught.value), code
        place = str(own) if "component()(3)" not in code else "a value of type int"
        assert f"{place}, line {line}" in str(caught.value) or place == "a value of type int", str(caught.value)


def test_what_fits_in_another_way_is_taken(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("[project]\nmodules = ['own.py']\n", encoding="utf-8")
    code = "@component()\ndef own(*args):\n    pass\n\n"
    code += "@component(name='two')\ndef two(c, /, s, more=1, **rest):\n    pass\n"
    (tmp_path / "own.py").write_text(HEAD + code, encoding="utf-8")
    assert {"own", "two"} <= load_project(tmp_path / "agent.toml").components.keys()


def test_a_feature_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    cases = (
        ("@feature(bars=2)\ndef mine(bars, more):\n    pass", 4, "missing a required argument: 'more'"),
        ("@feature(bars=2)\nasync def mine(bars):\n    pass", 4, "is a coroutine function"),
        ("x = 1\n@feature(bars=0)\ndef mine(bars):\n    pass", 5, "at least one bar, not 0"),
        ("@feature(bars='2')\ndef mine(bars):\n    pass", 4, "TypeError"),
        ("@feature\ndef mine(bars):\n    pass", 4, "TypeError: feature() takes 0 positional arguments"),
    )
    for number, (code, line, said) in enumerate(cases):
        own = tmp_path / f"mine{number}.py"
        own.write_text(f"from pipelines.feature import feature\n\n\n{code}\n", encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            own_features([own.name], tmp_path)
        assert said in caught.value.what, code
        assert caught.value.where == f"{own}, line {line}", code


class Good:
    """All that a source needs."""

    name: ClassVar[str] = "good"
    historical: ClassVar[bool] = True

    def __init__(self, settings: object, base: Path) -> None:
        """Takes what it is made from."""

    def probe(self) -> Any:
        """Nothing."""

    def markets(self) -> Any:
        """Nothing."""

    @classmethod
    def fetch(cls, part: str) -> Any:
        """Nothing."""


def _changed(**members: Any) -> type[Any]:
    return type("Bad", (Good,), members)


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (_changed(__init__=lambda self, settings: None), r"cannot be made as Bad\(settings, base\)"),
        (_changed(probe=lambda self, fast: None), "probe of source 'x' cannot be called"),
        (_changed(markets=3), "markets of source 'x' is int 3, not a function"),
        (_changed(fetch=lambda self: None), "fetch of source 'x' cannot be called"),
        (type("Bare", (), {"name": "x", "probe": Good.probe}), "source 'x' lacks historical, markets, fetch"),
        (lambda settings, base: Good(settings, base), "is no class but"),
        (None, "is no class but None"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(cls: object, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        require_source(cls, "source 'x'")
    assert caught.value.where


def test_a_source_that_fits_is_taken() -> None:
    require_source(Good, "source 'good'")

    @dataclass(frozen=True)
    class Derived(Good):
        settings: object
        base: Path

    require_source(Derived, "source 'derived'")
