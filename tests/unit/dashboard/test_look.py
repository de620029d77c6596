"""How words become HTML."""

from __future__ import annotations

from tests.lazy import Lazy

look = Lazy("dashboard.look")


def test_no_figure_is_parted_from_its_unit() -> None:
    assert look.text(("<b> 47.6 %, needs 47.61 %",)) == (
        '&lt;b&gt; <span class="tm-unit">47.6 %</span>, needs <span class="tm-unit">47.61 %</span>'
    )
