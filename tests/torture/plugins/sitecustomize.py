"""Python imports this at start: computing children of an orchestrator under test get its fault, too."""

import os

if os.environ.get("TIDE_FAULT"):
    from tests.torture.faults import install

    install()
