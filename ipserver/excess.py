"""What a line gets beyond the addresses of its service: the subscriber's ladder.

A line that has all its addresses in use and asks for one more is answered by the policy
of its service: nothing, the address unused for longest, one of the walled garden, one
that is free for some hours once a month, or one that is sold for the month. What was
sold and which grace was used is remembered here per line, so that nothing is sold twice
and nothing is free for ever; both are in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from ipserver.reasons import Reason

EXCESS_LINES_MAX: Final = 1_000_000
"""Lines with sales or grace that are remembered; last month's are forgotten first."""


class Excess(StrEnum):
    """What a service does with the address after the last."""

    DENY = "deny"
    REPLACE_OLDEST = "replace_oldest"
    WALLED_GARDEN = "walled_garden"
    GRACE = "grace"
    SELL = "sell"


class ExcessPolicy(NamedTuple):
    """A service's policy: how many addresses beyond its own at once, the price of one
    for a calendar month and what a line spends on them in a month at most (10^-6 of
    the currency), and for how many seconds those of grace are free.
    """

    policy: Excess
    addresses: int
    price_micro: int
    cap_micro: int
    grace_seconds: int


class Spent(NamedTuple):
    """What a line had beyond its service in a month (``year * 12 + month - 1``)."""

    month: int
    sold: int = 0
    micro: int = 0
    grace_until: int = 0


class Granted(NamedTuple):
    """An address beyond the service is had: why, and what that adds to the memory.

    ``until`` ends it, in seconds; 0 for no end but the lease's. ``spent`` is None when
    nothing new is sold or begun.
    """

    reason: Reason
    until: int = 0
    spent: Spent | None = None


def month_of(now: float) -> int:
    """Number the calendar month (UTC) that a time in epoch seconds lies in."""
    moment = datetime.fromtimestamp(now, UTC)
    return moment.year * 12 + moment.month - 1


class ExcessBook:
    """What lines had beyond their service; bounded, and rebuilt from the journal."""

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}

    def __iter__(self) -> Iterator[tuple[str, Spent]]:
        return iter(self._spent.items())

    def spent(self, line: str, now: float) -> Spent:
        """Give what a line had this month."""
        month = month_of(now)
        spent = self._spent.get(line)
        return spent if spent is not None and spent.month == month else Spent(month)

    def remember(self, line: str, spent: Spent) -> None:
        """Take what is granted, or what the journal says was granted."""
        if len(self._spent) >= EXCESS_LINES_MAX and line not in self._spent:
            self._spent = {
                key: kept
                for key, kept in self._spent.items()
                if kept.month >= spent.month
            }
        self._spent[line] = spent

    def decide(
        self, policy: ExcessPolicy, line: str, extra: int, now: float
    ) -> Granted | Reason:
        """Decide about one address more, when ``extra`` beyond the service are had.

        Only for "grace" and "sell", whose addresses cost something that is counted.
        """
        if extra >= policy.addresses:
            return Reason.SUBSCRIBER_LIMIT
        spent = self.spent(line, now)
        if policy.policy is Excess.GRACE:
            if spent.grace_until > now:
                return Granted(Reason.GRANTED_GRACE, spent.grace_until)
            if spent.grace_until:
                return Reason.GRACE_USED
            until = int(now) + policy.grace_seconds
            return Granted(
                Reason.GRANTED_GRACE, until, spent._replace(grace_until=until)
            )
        if extra < spent.sold:
            return Granted(Reason.GRANTED_SOLD)
        micro = spent.micro + policy.price_micro
        if micro > policy.cap_micro:
            return Reason.MONTHLY_CAP
        bought = spent._replace(sold=spent.sold + 1, micro=micro)
        return Granted(Reason.GRANTED_SOLD, spent=bought)
