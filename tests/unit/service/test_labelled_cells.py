"""Cells of tables carry their column's heading, for phones."""

from __future__ import annotations

from agent.api.rendering import labelled

TABLE = (
    '<table><thead><tr><th>{}</th><th class="number">B &amp; C</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr>'
)


def test_a_cell_is_named_by_its_column() -> None:
    made = labelled(TABLE.format("A") + "</tbody></table>")
    assert '<td data-label="A">1</td><td data-label="B &amp; C">2</td>' in made


def test_a_heading_with_tags_or_quotes_stays_text() -> None:
    made = labelled(TABLE.format('<a href="/x">5" high</a>') + "</tbody></table>")
    assert '<td data-label="5&quot; high">1</td>' in made
