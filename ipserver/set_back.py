"""A start at an earlier time than the last one ended: the clock was set back meanwhile.

What was begun in the future would last until that future comes, be it 400 days. So it
begins now, and lasts as long as it was to last. Blocks and requests that wait in a
state are met by the next tick.
"""

from __future__ import annotations

from msgspec import structs

from config.over_allocation import OverAllocation
from ipserver.decision import back_off
from ipserver.draft import Draft


def set_back(draft: Draft, policy: OverAllocation) -> None:
    """Bring what is timed from later than now to now; nothing where nothing is."""
    now, state = draft.now, draft.state
    for memory in list(state.pools.values()):
        latest = {
            "granted_at": now,
            "denied_until": now + back_off(max(0, memory.refusals - 1), policy),
            "rationed_until": now + policy.rationing_seconds,
        }
        early = {k: at for k, at in latest.items() if getattr(memory, k) > at}
        if early:
            draft.remember(memory.pool, **early)
    for loan in list(state.loans.values()):
        late = max(0, loan.term_starts_at - now)
        ending = max(0, loan.ending_at - now)
        if late or ending:
            draft.put_loan(
                structs.replace(
                    loan,
                    made_at=min(loan.made_at, now),
                    term_starts_at=loan.term_starts_at - late,
                    term_ends_at=loan.term_ends_at - late,
                    ending_at=loan.ending_at - ending,
                    deadline=loan.deadline - ending,
                )
            )
    for request in list(state.requests.values()):
        times = ("raised_at", "asked_at", "calm_since")
        late_ones = {k: now for k in times if getattr(request, k) > now}
        if late_ones:
            draft.put_request(structs.replace(request, **late_ones))
