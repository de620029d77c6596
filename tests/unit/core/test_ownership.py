"""Who could change a file: only the server's user and root may be able to."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ownership import Entry, first_finding

ME, OTHER, MY_GROUP, SHARED = 1000, 1001, 1000, 50
FILE, FOLDER, LINK, STICKY = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_ISVTX


def own(gid: int, uid: int) -> bool:
    return (gid, uid) == (MY_GROUP, ME)


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "is_above", "fix"),
    [
        (ME, MY_GROUP, FILE | 0o644, False, None),
        (0, 0, FILE | 0o644, False, None),
        (OTHER, MY_GROUP, FILE | 0o600, False, "chown 1000 /x/y (as root), or make a copy of it"),
        (ME, MY_GROUP, FILE | 0o664, False, None),
        (ME, SHARED, FILE | 0o664, False, "chmod g-w /x/y"),
        (0, MY_GROUP, FILE | 0o664, False, "chmod g-w /x/y"),
        (ME, MY_GROUP, FILE | 0o646, False, "chmod o-w /x/y"),
        (0, 0, FOLDER | STICKY | 0o777, True, None),
        (0, 0, FOLDER | STICKY | 0o777, False, "chmod o-w /x/y"),
        (OTHER, 0, FOLDER | STICKY | 0o777, True, "chown 1000 /x/y (as root), or make a copy of it"),
        (0, 0, FOLDER | 0o777, True, "chmod o-w /x/y"),
        (ME, SHARED, FOLDER | STICKY | 0o770, True, None),
        (ME, 0, LINK | 0o777, False, None),
        (OTHER, 0, LINK | 0o777, True, "chown 1000 /x/y (as root), or make a copy of it"),
        (0, 0, FILE | STICKY | 0o666, True, "chmod o-w /x/y"),
    ],
)
def test_the_rule(uid: int, gid: int, mode: int, is_above: bool, fix: str | None) -> None:
    found = first_finding([Entry("/x/y", uid, gid, mode, is_above)], ME, own)
    assert (None if found is None else found.fix) == fix
    assert found is None or (found.path == "/x/y" and found.reason)


def test_root_trusts_root_alone() -> None:
    assert first_finding([Entry("/x", ME, ME, FILE | 0o600)], 0, own) is not None
    assert first_finding([Entry("/x", 0, 0, FILE | 0o600)], 0, own) is None


def test_a_path_with_blanks_can_be_pasted() -> None:
    found = first_finding([Entry("/a b/it's", ME, ME, FILE | 0o646)], ME, own)
    assert found is not None
    assert found.fix == "chmod o-w '/a b/it'\"'\"'s'"


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 0o7777), st.sampled_from([FILE, FOLDER]), st.booleans())
def test_whatever_passes_only_its_owner_or_root_can_write(
    uid: int, gid: int, mode: int, kind: int, above: bool
) -> None:
    if first_finding([Entry("/x", uid, gid, kind | mode, above)], 1, lambda _gid, _uid: False) is None:
        assert uid in (0, 1)
        assert not mode & 0o022 or (above and mode & STICKY and kind == FOLDER)
