"""A market that failed or was refused rests (reasoning_failure_decay_seconds), unless its price has moved by more than
1 % since. A person may delete a lock."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from agent.amounts import less, times
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Lock, Refuse, View
from agent.trading.rule_example import MARKET, NOW, Case

PLACE, CLOSES = 40, False
MOVED = Decimal("0.01")


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse while a lock on the market, the side or everything holds."""
    for one in view.locks:
        is_for = one.market_id in ("*", proposal.market_id) and one.side in ("*", proposal.side)
        if is_for and one.until > now and not _has_moved(one, proposal.reference):
            return Refuse(f"locked until {one.until:%H:%M:%S} UTC: {one.reason}", {"until": one.until})
    return Allow()


def _has_moved(lock: Lock, price: Decimal) -> bool:
    if lock.price is None:
        return False
    return less(price, lock.price).copy_abs() > times(lock.price, MOVED)


_UNTIL = NOW + timedelta(seconds=1)
_LOCK = Lock(market_id=MARKET, side="buy", until=_UNTIL, reason="refused by spread", price=Decimal(50_000))
ALLOWS = (
    Case("the other side", view={"locks": (_LOCK,)}, proposal={"side": "sell"}, left="0.01"),
    Case("more than 1 % away", view={"locks": (_LOCK,)}, proposal={"reference": Decimal(50_501)}, left="0.01"),
    Case("over", view={"locks": (Lock(market_id="*", side="*", until=NOW, reason="r"),)}, left="0.01"),
)
REFUSES = (
    Case("locked", view={"locks": (_LOCK,)}, says="locked until 12:00:01 UTC: refused by spread"),
    Case("1 % away", view={"locks": (_LOCK,)}, proposal={"reference": Decimal(50_500)}, says="locked"),
    Case("all", view={"locks": (Lock(market_id="*", side="*", until=_UNTIL, reason="r"),)}, says="locked"),
)
