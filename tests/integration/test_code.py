"""Which files make a component's code, what the cache saves, and what a person gets where code cannot be read."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import sys
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.plugins import code as code_module
from pipelines.plugins import generation
from pipelines.plugins.code import FRAMEWORK, Code, CodeCache, code_of, library_versions
from pipelines.plugins.discovery import builtin_names
from pipelines.plugins.modules import installed_version, load_module
from tests.paths import PROJECT


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's package on sys.path: signal → tools.maths → tools.deep, and things that do not count."""
    root = tmp_path / "someone"
    files = {
        "trading_ideas/__init__.py": "",
        "trading_ideas/signal.py": (
            "from __future__ import annotations\n"
            "import json\n"
            "import polars as pl\n"
            "from typing import TYPE_CHECKING\n"
            "from pipelines import costs\n"
            "from pipelines.component import component\n"
            "from .tools import maths\n"
            "if TYPE_CHECKING:\n"
            "    import only_for_types\n"
            "def run():\n"
            "    import late_friend\n"
        ),
        "trading_ideas/tools/__init__.py": "",
        "trading_ideas/tools/maths.py": "from trading_ideas.tools.deep import LIMIT\nfrom . import deep\n",
        "trading_ideas/tools/deep.py": "LIMIT = 1\nOTHER = 2\n",
        "trading_ideas/tools/unused.py": "X = 1\n",
        "late_friend.py": "Y = 1\n",
        "only_for_types.py": "Z = 1\n",
    }
    for name, text in files.items():
        write(root / name, text)
    monkeypatch.syspath_prepend(str(root))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] in ("trading_ideas", "late_friend")]:
        del sys.modules[name]


def write(path: Path, text: str, *, age_seconds: int = 100) -> None:
    """A file as an editor leaves it, `age_seconds` ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, now - age_seconds * 1_000_000_000))


def signal(cache: CodeCache | None = None) -> Code:
    return code_of("trading_ideas.signal", cache=cache or CodeCache())


def test_own_file_and_project_imports_count_and_nothing_else(package: Path) -> None:
    assert set(signal().files) == {
        "trading_ideas",
        "trading_ideas.signal",
        "trading_ideas.tools",
        "trading_ideas.tools.maths",
        "trading_ideas.tools.deep",
        "late_friend",
        "pipelines.costs",
    }


def test_a_constant_three_imports_away_counts_and_is_named_with_its_place(package: Path) -> None:
    before = signal()
    write(package / "trading_ideas/tools/deep.py", "# moved down\nLIMIT = 5\nOTHER = 2\n", age_seconds=50)
    after = signal()
    assert after.version != before.version
    changed = {
        f"{module}:{name}"
        for module, names in after.files.items()
        for name, value in names.items()
        if before.files[module].get(name) != value
    }
    assert changed == {"trading_ideas.tools.deep:LIMIT"}
    assert after.definitions["trading_ideas.tools.deep:LIMIT"] == "trading_ideas/tools/deep.py:2"


@pytest.mark.parametrize("name", ["trading_ideas/tools/unused.py", "only_for_types.py"])
def test_what_is_not_imported_does_not_count(package: Path, name: str) -> None:
    before = signal()
    write(package / name, "X = 'changed'\n", age_seconds=50)
    assert signal().version == before.version


def test_comments_do_not_count(package: Path) -> None:
    before = signal()
    write(package / "trading_ideas/tools/deep.py", '"""Doc."""\nLIMIT  =  1 # one\n\n\nOTHER = 2\n', age_seconds=50)
    assert signal().version == before.version


def test_a_format_version_of_the_framework_counts_for_every_component(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal()
    monkeypatch.setattr("pipelines.fingerprint.FORMAT_VERSION", 999)
    assert signal().version != before.version


def test_the_folder_of_a_single_file_does_not_count(tmp_path: Path) -> None:
    versions = []
    for folder in ("one", "two"):
        write(tmp_path / folder / "my_idea.py", "X = 1\n")
        module = load_module("my_idea.py", tmp_path / folder)
        made = code_of(module.__name__, cache=CodeCache())
        assert made.definitions == {"my_idea:X": "my_idea.py:1"}
        versions.append(made.version)
    assert versions[0] == versions[1]


def test_a_file_beside_a_single_file_counts(tmp_path: Path) -> None:
    write(tmp_path / "helper_of_idea.py", "Y = 1\n")
    write(tmp_path / "other_helper.py", "Y = 2\n")
    write(tmp_path / "my_idea.py", "from . import other_helper\ndef run():\n    import helper_of_idea\n")
    module = load_module("my_idea.py", tmp_path)
    assert set(code_of(module.__name__, cache=CodeCache()).files) == {"my_idea", "helper_of_idea", "other_helper"}


def test_an_installed_plug_in_counts_its_own_package_and_no_library_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "site-packages"
    write(site / "installed_idea/__init__.py", "import some_library\nfrom installed_idea import tools\n")
    write(site / "installed_idea/tools.py", "from pipelines.costs import *\n")
    write(site / "some_library/__init__.py", "X = 1\n")
    monkeypatch.syspath_prepend(str(site))
    made = code_of("installed_idea", cache=CodeCache())
    assert set(made.files) == {"installed_idea", "installed_idea.tools", "pipelines.costs"}


def test_a_warm_cache_reads_no_source(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = signal(CodeCache(tmp_path / "cache" / "code.json"))
    monkeypatch.setattr(code_module, "_read_facts", lambda file: pytest.fail(f"{file} was read"))
    assert signal(CodeCache(tmp_path / "cache" / "code.json")) == cold


def test_a_changed_file_is_read_again(package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "code.json"
    before = signal(CodeCache(cache))
    write(package / "trading_ideas/tools/deep.py", "LIMIT = 7\nOTHER = 2\n", age_seconds=50)
    assert signal(CodeCache(cache)).version != before.version


def test_a_file_just_written_is_not_trusted_to_stay(package: Path, tmp_path: Path) -> None:
    """Two edits of one size within a tick of the file system's clock must not look like one."""
    deep, cache = package / "trading_ideas/tools/deep.py", tmp_path / "code.json"
    write(deep, "LIMIT = 3\nOTHER = 2\n", age_seconds=0)
    stat = deep.stat()
    before = signal(CodeCache(cache))
    deep.write_text("LIMIT = 4\nOTHER = 2\n", encoding="utf-8")
    os.utime(deep, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert signal(CodeCache(cache)).version != before.version


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": {}}', '{"files": {"x": {}}, "made_by": []}', "null"])
def test_a_broken_cache_is_ignored_and_fixed(package: Path, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "code.json"
    cache.write_text(content, encoding="utf-8")
    assert signal(CodeCache(cache)) == signal()
    assert len(json.loads(cache.read_text(encoding="utf-8"))["files"]) == 7


def test_a_cache_that_cannot_be_written_is_ignored(package: Path, tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("a file, not a folder", encoding="utf-8")
    assert signal(CodeCache(tmp_path / "in_the_way" / "code.json")) == signal()


def test_code_that_is_no_python_is_named_with_its_line(package: Path) -> None:
    write(package / "late_friend.py", "x = 1\ndef f(:\n")
    with pytest.raises(PipelineError, match="cannot read code") as caught:
        signal()
    assert "late_friend.py:2" in caught.value.where


def test_a_module_without_source_needs_a_version(package: Path) -> None:
    for name in ("no_such_module", "trading_ideas.nowhere", "math"):
        with pytest.raises(PipelineError, match="no source file") as caught:
            code_of(name, cache=CodeCache())
        assert "version=" in caught.value.fix


@pytest.mark.parametrize("name", builtin_names("components"))
def test_built_in_components_have_code_and_none_of_the_frameworks(name: str) -> None:
    made = code_of(f"pipelines.components.{name}", cache=CodeCache())
    assert f"pipelines.components.{name}" in made.files
    assert not FRAMEWORK & made.files.keys()
    assert not any(module.startswith("agent") for module in made.files)
    for place in made.definitions.values():
        path, _, line = place.rpartition(":")
        assert int(line) <= len((PROJECT / "src" / path).read_text(encoding="utf-8").splitlines())


def test_library_versions_are_major_and_minor_of_what_is_there() -> None:
    found = library_versions(("polars", "no-such-distribution"))
    assert list(found) == ["polars"]
    assert found["polars"].count(".") == 1
    assert library_versions(()) == {}


def test_the_version_of_a_package_is_the_one_its_metadata_tells() -> None:
    found = {one.metadata["Name"] for one in metadata.distributions()}
    assert {"polars", "scikit-learn", "SQLAlchemy"} & found  # names with dashes and capitals among them
    for name in found:
        assert installed_version(name) == metadata.version(name), name
    assert installed_version("no-such-package") is None


def test_bytecode_that_python_passes_over_is_no_sign_of_change(tmp_path: Path) -> None:
    file = tmp_path / "part.py"

    def is_stale(text: str, second: int) -> bool:
        file.write_text(text, encoding="utf-8")
        os.utime(file, (second, second))
        spec = importlib.util.spec_from_file_location("part", file)
        stamp = generation.stamp_of(file)
        assert stamp is not None
        return generation._is_stale_bytecode(file, stamp, spec)

    assert not is_stale("x = 1\n", 1000)  # none there
    py_compile.compile(str(file), doraise=True)
    assert not is_stale("x = 1\n", 1000)
    assert is_stale("x = 2\n", 1000)  # the same size and second: Python believes what was left of the text before
    assert not is_stale("x = 3\n", 1001)  # it does not, and where it may not write there will never be another one
    assert not is_stale("x = 30\n", 1000)


def test_a_second_name_of_the_main_program_is_no_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's script, run as `python script.py`, where a library imports multiprocessing for the first time."""
    program, other = types.ModuleType("script"), types.ModuleType("other")
    program.__file__, other.__file__ = str(tmp_path / "script.py"), str(tmp_path / "other.py")
    monkeypatch.setitem(sys.modules, "__main__", program)
    monkeypatch.delitem(sys.modules, "__mp_main__", raising=False)
    before = generation.loaded()
    monkeypatch.setitem(sys.modules, "__mp_main__", program)
    assert generation.strangers(before, []) == []
    monkeypatch.setitem(sys.modules, "other", other)
    assert generation.strangers(before, []) == ["other"]
