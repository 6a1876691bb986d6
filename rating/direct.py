"""The ordinary record, rated at once: of one span, one rate retail and one wholesale.

Nearly every record is one. What it takes of its two rates is all there is to say of it,
so no charge is made of it: at tens of thousands a second each object counts. Anything
else goes the way of every record (``rating.rater``), which comes to the same.
"""

from __future__ import annotations

from rating.balance import Taken
from rating.charge import RatableUsage
from rating.plans import Meter
from rating.rater import Rated, Rater, Unrated
from rating.rates import NO_DOUBT

Direct = tuple[Meter, Taken, Meter, Taken]
"""What a record took of the only rate of its retail meter, and of its wholesale one."""


class DirectRater(Rater):
    """A rater for a stream of records; as ``Rater``."""

    def rate_directly(self, usage: RatableUsage) -> Direct | Rated | Unrated:
        """Rate one record; ``Unrated`` leaves everything as it was."""
        # Of a slice, which is a plain tuple, it is quicker than of a named one.
        service, _, _, _, start, end, seconds, received, sent, _, units = usage[:]
        plan = self._plans.get(service)
        if plan is None:
            return Unrated.UNKNOWN_SERVICE
        retail, wholesale = plan.retail, plan.wholesale
        if (
            retail is None
            or wholesale is None
            or not retail.start <= start < end <= retail.end
            or not wholesale.start <= start
            or not end <= wholesale.end
            or retail.only is None
            or wholesale.only is None
            or not -NO_DOUBT <= received + sent <= NO_DOUBT
        ):
            return self.rate(usage)
        balance, other = retail.balance, wholesale.balance
        assert balance is not None
        assert other is not None
        figures = seconds, received, sent, units
        taken = self._take(retail, figures)
        if not taken:
            rated = Rated([], [])
            if taken is None:
                self._settle(retail, balance, usage, rated.retail)
            self._apply(wholesale, None, usage, rated.wholesale)
            return rated
        other_taken = self._take(wholesale, figures)
        if other_taken:
            return retail, taken, wholesale, other_taken
        rated = Rated([balance.charge(retail.only, taken, usage)], [])
        if other_taken is None:
            self._settle(wholesale, other, usage, rated.wholesale)
        return rated

    def _take(
        self, meter: Meter, figures: tuple[int, int, int, int]
    ) -> Taken | tuple[()] | None:
        """Add a record to where the meter points, as ``Balance.take`` its only rate."""
        balance, rate, base = meter.balance, meter.only, meter.base
        assert balance is not None
        assert rate is not None
        self._counted[balance.id] = balance
        totals = balance.totals
        seconds, received, sent, units = figures
        totals[base] += seconds
        totals[base + 1] += received
        totals[base + 2] += sent
        totals[base + 3] += units
        return balance.take(rate)
