"""A disk that is full says so with the file and the fix, whichever library was writing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipelines.errors import LakeError
from pipelines.lake import Lake

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_table_that_does_not_fit(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": range(1000)})
    name = Lake(tmp_path / "roomy").write_table("ticks", "2024", frame, attempt="t1").path
    place = tmp_path / "full" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(FULL)
    with pytest.raises(LakeError, match="cannot write: No space left on device") as refused:
        Lake(tmp_path / "full").write_table("ticks", "2024", frame, attempt="t1")
    assert refused.value.where == str(place)
    assert "free disk space" in refused.value.fix


def test_a_table_that_cannot_be_stored_is_no_full_disk(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)})
    with pytest.raises(Exception, match=r"(?i)object") as refused:
        Lake(tmp_path).write_table("ticks", "2024", frame, attempt="t1")
    assert not isinstance(refused.value, LakeError)
