"""Two files of daily bars, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.ticks.mill import DATASETS, Mill, bar, csv


@pytest.fixture
def mill(tmp_path: Path) -> Mill:
    made = Mill(tmp_path, [DATASETS[0]])
    made.write("bars/1.csv", csv(bar(1), bar(2), bar(1, "B")))
    made.write("bars/2.csv", csv(bar(2, "B"), bar(3)))
    made.run()
    return made
