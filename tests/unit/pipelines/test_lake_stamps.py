"""Which files of a lake are not what the catalog notes of them."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.lake import unlike


def stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def test_files_that_are_gone_or_others_are_found_in_every_folder(tmp_path: Path) -> None:
    names = ("top", "ticks/a", "ticks/b", "ticks/bars/a", "model/c d", "gone/e")
    stamps = {}
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        stamps[name] = stamp(path)
    assert unlike(tmp_path, stamps) == set()
    assert unlike(tmp_path, {}) == set()

    (tmp_path / "gone" / "e").unlink()
    (tmp_path / "gone").rmdir()
    (tmp_path / "ticks" / "a").unlink()
    altered = tmp_path / "ticks" / "bars" / "a"
    kept = altered.stat()
    altered.write_bytes(b"ticks/bars/B")  # as long as before
    os.utime(altered, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))
    longer = tmp_path / "model" / "c d"
    kept = longer.stat()
    longer.write_bytes(b"longer than before")
    os.utime(longer, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (tmp_path / "ticks" / "not noted").write_bytes(b"")
    assert unlike(tmp_path, stamps) == {"gone/e", "ticks/a", "ticks/bars/a", "model/c d"}


def test_a_file_behind_a_link_is_the_one_looked_at(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert unlike(tmp_path, {"linked": stamp(tmp_path / "real")}) == set()
    assert unlike(tmp_path / "nowhere", {"a": "1 1"}) == {"a"}
