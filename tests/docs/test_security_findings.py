"""Every finding of bandit is explained in docs/decisions/0005-security-findings.md, and every explanation is needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "decisions" / "0005-security-findings.md"


@pytest.mark.audit
def test_bandit_finds_only_what_is_explained() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-r", "src", "dashboard", "-f", "json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["results"]
    rows = re.findall(r"^\| (B\d+) \| ([^|]*?) ?\| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    codes, places = {code for code, _ in rows}, set(rows)
    unexplained = [
        f"{one['test_id']} {one['filename']}:{one['line_number']}: {one['issue_text']}"
        for one in found
        if one["test_id"] not in codes
        or (one["issue_severity"] != "LOW" and (one["test_id"], one["filename"]) not in places)
    ]
    assert unexplained == []
    assert codes == {one["test_id"] for one in found}
