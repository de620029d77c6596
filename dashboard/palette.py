"""Colours that people with any colour blindness tell apart, on white and on black.

Okabe and Ito's set (jfly.uni-koeln.de/color), shifted in lightness. A colour never stands alone: a word, a dash pattern
or a shape says the same.
"""

from __future__ import annotations

GREEN, ORANGE, BLUE, RED, PURPLE, GREY = "#12996d", "#d9820f", "#2f86d0", "#d9542b", "#b8689a", "#8a8f98"

# Strategy of the backtest -> its name, colour and dash pattern.
STRATEGIES = {
    "model": ("Model", BLUE, "solid"),
    "buy_and_hold": ("Buy and hold", ORANGE, "dash"),
}
