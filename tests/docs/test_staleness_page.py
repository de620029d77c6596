"""docs/concepts/staleness.md has every reason, in the words that people see."""

from __future__ import annotations

import re

import pytest

from agent.core.explain import sentence
from agent.core.model import Code, Reason
from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "concepts" / "staleness.md"
EXAMPLES = {
    Code.NEVER_RUN: ("features", Reason(Code.NEVER_RUN)),
    Code.MARKED: ("features", Reason(Code.MARKED, detail="ann: bad volumes")),
    Code.FORCED: ("features", Reason(Code.FORCED)),
    Code.FAILED: ("features", Reason(Code.FAILED, detail="the disk is full")),
    Code.CODE_CHANGED: (
        "features",
        Reason(Code.CODE_CHANGED, "pipelines.components.features:RSI_BARS", "a", "b", "components/features.py:31"),
    ),
    Code.SETTINGS_CHANGED: ("backtest", Reason(Code.SETTINGS_CHANGED, "seed", "7", "8")),
    Code.LIBRARY_CHANGED: ("model", Reason(Code.LIBRARY_CHANGED, "scikit-learn", "1.8", "1.9")),
    Code.INPUT_CHANGED: ("features", Reason(Code.INPUT_CHANGED, "ticks", "6b049906", "91c22a0d")),
    Code.OUTPUT_MISSING: ("ticks", Reason(Code.OUTPUT_MISSING, "2013")),
    Code.OUTPUT_ALTERED: ("ticks", Reason(Code.OUTPUT_ALTERED, "2013")),
    Code.SOURCE_NEW_DATA: ("ticks", Reason(Code.SOURCE_NEW_DATA, "files", "a", "b", "prices.csv changed")),
    Code.TOO_OLD: ("ticks", Reason(Code.TOO_OLD, "", "7200", "3600", "seconds")),
    Code.RETRAIN_DUE: ("model", Reason(Code.RETRAIN_DUE, detail="512 new rows, 500 are enough")),
}


def rows() -> dict[str, tuple[str, str]]:
    """Code -> sentence and what to do."""
    found = re.findall(r"^\| `(\w+)` \| (.+ runs .+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {code: (said, fix) for code, said, fix in found}


@pytest.mark.parametrize("code", list(Code))
def test_a_reason_is_explained_with_its_sentence(code: Code) -> None:
    assert code in rows(), f"{PAGE} lacks {code}"
    assert rows()[code][0] == sentence(*EXAMPLES[code])


def test_no_reason_is_made_up() -> None:
    assert set(rows()) == set(Code)
