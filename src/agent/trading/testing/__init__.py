"""What a platform must do whatever its venue does, as suites to inherit; and a venue on this machine to prove it with.

    from agent.trading.testing.suite import PlatformSuite  # needs pytest

    class TestMyPlatform(PlatformSuite):
        @pytest.fixture
        def scene(self): ...  # an account at a market, see suite.PlatformScene

Nothing here is imported by a trader: a venue of this package has no real money, and no setting leads to it.
"""

from __future__ import annotations

from agent.trading.testing.client import VenuePlatform
from agent.trading.testing.server import Fault, VenueServer, serving
from agent.trading.testing.venue import Venue

__all__ = ["Fault", "Venue", "VenuePlatform", "VenueServer", "serving"]
