"""The OpenAPI document against the application: generated requests find no 5xx and no answer that it does not have.

`make test` sends a few to the application in this process. `make audit` has schemathesis look for long at a real
server; SCHEMATHESIS_EXAMPLES sets how many requests an operation gets in each phase.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.served import FAILING, environment, served

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ENDLESS = "/runs/{run_id}/events/stream"  # told until the run is over, and none is carried out here


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose server carries nothing out and takes any number of requests."""
    limits = f'[worker]\nenabled = false\n[api]\nrate_limit_per_minute = 1000000\nproject_roots = ["{tmp_path}"]\n'
    (tmp_path / "agent.toml").write_text(FAILING + limits, encoding="utf-8")
    return tmp_path


def test_a_few_generated_requests_find_no_fault(project: Path) -> None:
    import schemathesis
    from schemathesis.checks import CHECKS as EVERY

    from agent.api.app import create_app

    app = create_app(project)

    async def from_this_machine(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope |= {"client": ("127.0.0.1", 50000), "headers": [(b"host", b"localhost:8000"), *headers]}
        await app(scope, receive, send)

    schema = schemathesis.openapi.from_asgi("/openapi.json", from_this_machine)
    operations = [one.ok() for one in schema.exclude(path=ENDLESS).get_all_operations()]
    checks = EVERY.get_by_names(CHECKS)
    assert len(operations) > 20

    def send(operation: Any) -> None:
        @settings(
            max_examples=1,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def generated(case: Any) -> None:
            case.call_and_validate(checks=checks)

        generated()

    for operation in operations:
        send(operation)


@pytest.mark.audit
def test_generated_requests_find_no_fault(project: Path) -> None:
    with served(project) as server:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"{server.url}/openapi.json",
                f"--checks={','.join(CHECKS)}",
                f"--max-examples={os.environ.get('SCHEMATHESIS_EXAMPLES', '10')}",
                f"--exclude-path={ENDLESS}",
                "--generation-deterministic",
                "--no-color",
            ],
            cwd=project,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}\n{server.log()[-4000:]}"
