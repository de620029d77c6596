"""What a reply that is none means: ask again, and when, or leave it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MOST_TRIES = 3  # of one request, until its stream rests
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_RESTS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))


@dataclass(frozen=True)
class Again:
    """Ask again, `after` seconds where the venue says when. of_venue: nothing may be asked of it until then. is_silent:
    no whole reply came in the time that there was, which was enough for one."""

    why: str
    after: float | None = None
    of_venue: bool = False
    is_silent: bool = False


@dataclass(frozen=True)
class Forbidden:
    """The venue answers nobody here: no request of this source is of use. `fix` is what a person can do."""

    why: str
    fix: str


def judge(status: int, headers: Mapping[str, str], now: datetime) -> Again | Forbidden | None:
    """What a status means to every venue alike; None where its feed is to look at the reply."""
    after = retry_after(headers.get("retry-after"), now)
    if status == 401:
        return Forbidden(
            "the venue does not accept the key (HTTP 401)", "correct the environment variable with the key"
        )
    if status in (403, 451):
        rule = "by its rule about regions" if status == 451 else "by a rule of its own, such as about regions"
        return Forbidden(
            f"the venue refuses to serve this address {rule} (HTTP {status})",
            "ask the venue what it allows, or take the source out of agent.toml",
        )
    if status in (418, 429):
        return Again(f"the venue asks for a pause (HTTP {status})", after, of_venue=True)
    if status == 408 or status >= 500:
        return Again(f"the venue has a fault (HTTP {status})", after, of_venue=status == 503)
    return None


def retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait, from seconds or a date; None where it says neither."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def pause(tries: int, after: float | None, draw: float) -> float:
    """Seconds until the next try after `tries` failed ones: what the venue says, else 1 to 60 s, doubling; `draw`, 0 to
    1, spreads them over the upper half, so that not all come back at once."""
    if after is not None:
        return after
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * float(2 ** (tries - 1)))
    return longest * (0.5 + draw / 2)


def rest(failures: int) -> timedelta:
    """How long a stream rests after it failed `failures` times in a row, each after MOST_TRIES."""
    return _RESTS[min(failures, len(_RESTS)) - 1]
