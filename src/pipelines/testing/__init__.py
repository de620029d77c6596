"""Conformance suites for plug-ins, to inherit from in a test file of your own; pytest does the rest.

    from pipelines.testing import SourceSuite
    from price_database import PriceDatabase

    class TestPriceDatabase(SourceSuite):
        source = PriceDatabase

        def settings(self, folder):
            return {"path": str(folder / "prices.sqlite")}

The built-in sources and components pass the same suites. Nothing here is imported by a run.
"""

from __future__ import annotations

from pipelines.testing.component_suite import ComponentSuite, Moment, write_snapshot
from pipelines.testing.feed_suite import FeedSuite
from pipelines.testing.source_suite import SourceSuite

__all__ = ["ComponentSuite", "FeedSuite", "Moment", "SourceSuite", "write_snapshot"]
