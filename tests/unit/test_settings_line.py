"""A button changes one line of agent.toml and nothing else, or says how to do it by hand."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Conflict
from agent.settings_line import with_line, write_line
from pipelines.errors import SettingsError

LINE = ("ticks", "on_bad_rows", "quarantine")
WANTED = 'on_bad_rows = "quarantine"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[ticks]\n{WANTED}"),
        ("# mine\n[api]\nport = 1", f"# mine\n[api]\nport = 1\n\n[ticks]\n{WANTED}"),
        ("[ticks]\n# why\npartition = 'day'\n[api]\n", f"[ticks]\n{WANTED}# why\npartition = 'day'\n[api]\n"),
        ('[ticks]\non_bad_rows = "fail"  # strict # so\n', '[ticks]\non_bad_rows = "quarantine"  # strict # so\n'),
        ("[ ticks ] # rows\n  on_bad_rows='fail'\n", f"[ ticks ] # rows\n{WANTED}"),
        ("[[sources.files.datasets]]\npath = 'a'\n", f"[[sources.files.datasets]]\npath = 'a'\n\n[ticks]\n{WANTED}"),
        ("[api]\non_bad_rows = 1\n[ticks]\n", f"[api]\non_bad_rows = 1\n[ticks]\n{WANTED}"),
    ],
)
def test_one_line_is_changed(before: str, after: str) -> None:
    assert with_line(before, *LINE) == after
    assert with_line(after, *LINE) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '["a "b" # c", "d"]'),
        ("on_bad_rows = 'fail'  # why", '["a "b" # c", "d"]  # why'),
        ('on_bad_rows = ["a \\"b\\" # c", "x"] # why "so"', '["a "b" # c", "d"]  # why "so"'),
        ("on_bad_rows = ['\\', \"#\"]", '["a "b" # c", "d"]'),
    ],
)
def test_a_list_is_written_and_the_comment_behind_it_stays(before: str, after: str) -> None:
    after = after.replace('"b"', '\\"b\\"')
    made = with_line(f"[ticks]\n{before}\n", "ticks", "on_bad_rows", ['a "b" # c', "d"])
    assert made == f"[ticks]\non_bad_rows = {after}\n" + ("" if before else "\n")


@pytest.mark.parametrize(
    "text",
    [
        "ticks.on_bad_rows = 'fail'\n",
        "ticks = { on_bad_rows = 'fail' }\n",
        "[ticks\n",
        "ticks = 3\n",
        "[ticks]\non_bad_rows = [\n  'a',\n]\n",
        'a = """\n[ticks]\n"""\n',
    ],
)
def test_what_a_line_cannot_change_is_said_with_what_to_write(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        with_line(text, *LINE)
    assert 'on_bad_rows = "quarantine" under [ticks]' in caught.value.fix


@given(
    st.lists(
        st.sampled_from(["[ticks]", "[api]", "# on_bad_rows", "", 'on_bad_rows = "fail"', "port = 3 # x", "[[a.b]]"])
    )
)
def test_nothing_else_ever_changes(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    after = tomllib.loads(with_line(text, *LINE))
    assert after.pop("ticks") == {**before.pop("ticks", {}), "on_bad_rows": "quarantine"}
    assert after == before


def test_the_file_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("# ü\n", encoding="utf-8")
    file.chmod(0o640)
    write_line(file, *LINE)
    assert file.read_text(encoding="utf-8") == f"# ü\n\n[ticks]\n{WANTED}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(Conflict, match="cannot be written"):
        write_line(tmp_path / "gone" / "agent.toml", *LINE)
