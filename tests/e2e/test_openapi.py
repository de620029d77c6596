"""The OpenAPI document against a real server: generated requests find no 5xx and no answer that it does not have.

SCHEMATHESIS_EXAMPLES sets how many requests an operation gets in each phase; the default keeps CI quick.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.served import FAILING, environment, served

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "2")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ENDLESS = "/runs/{run_id}/events/stream"  # told until the run is over, and none is carried out here


def test_generated_requests_find_no_fault(tmp_path: Path) -> None:
    limits = f'[worker]\nenabled = false\n[api]\nrate_limit_per_minute = 1000000\nproject_roots = ["{tmp_path}"]\n'
    (tmp_path / "agent.toml").write_text(FAILING + limits, encoding="utf-8")
    with served(tmp_path) as server:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"{server.url}/openapi.json",
                f"--checks={','.join(CHECKS)}",
                f"--max-examples={EXAMPLES}",
                f"--exclude-path={ENDLESS}",
                "--generation-deterministic",
                "--no-color",
            ],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}\n{server.log()[-4000:]}"
