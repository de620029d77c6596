"""A source of nothing but text files, so that a run of it needs no Polars: a part a file, its lines are numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.errors import BadInput
from pipelines.source import Batch, Probe

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Settings:
    """[sources.tide]"""


class TideSource:
    """Files below data/, written whole by os.replace."""

    name: ClassVar[str] = "tide"
    historical: ClassVar[bool] = True

    def __init__(self, settings: Any, base: Path) -> None:
        self.folder = base / "data"

    def probe(self) -> Probe:
        """Hash of each file: they are tiny."""
        return Probe({path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.glob("*.txt")})

    def markets(self) -> pl.DataFrame:
        """Nobody asks: the components of the torture read lines, not markets."""
        raise BadInput("there are no markets", where="data/", fix="read the parts")

    def fetch(self, part: str) -> Batch:
        """Nobody asks, as for markets."""
        raise BadInput("there are no rows", where=part, fix="read the parts")

    def read(self, part: str) -> bytes:
        """A part's bytes."""
        return (self.folder / f"{part}.txt").read_bytes()
