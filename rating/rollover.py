"""What is left of a period's allowances goes into the next; late use gets it back.

What had been rolled into a period is used up first and goes no further. Use that comes
when the next period is open already finds gone what was left: so far as the next one
has anything left, it comes back, and the money is what it would have been in order of
time. An allowance is never had twice: what was used there stays used, and late use
beyond that is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator

from rating.balance import Balance


def roll(older: Balance, newer: Balance) -> None:
    """Move what is left into the next period, as that opens."""
    left = older.left_now()
    for at, place in _alike(older, newer):
        if older.moved[at]:
            continue
        own = older.granted[at] - older.rolled[at]
        most = older.version.allowances[at].rollover
        older.moved[at] = newer.rolled[place] = max(min(left[at], own, most), 0)
    older.grant()
    newer.grant()


def take_back(older: Balance, newer: Balance) -> bool:
    """Give use beyond an allowance what rolled out of it and can be spared; say whether
    there was any. The older one is to be settled then."""
    remaining = newer.remaining()
    spare = [
        (at, place, min(older.moved[at], newer.rolled[place], remaining[place]))
        for at, place in _alike(older, newer)
    ]
    if not any(part for _, _, part in spare):
        return False
    # With all of it back, what is left then was not needed: allowances share rates, so
    # one that is used up can want another one's.
    for at, _, part in spare:
        older.moved[at] -= part
    older.grant()
    left = older.left_now()
    is_any = False
    for at, place, part in spare:
        kept = min(left[at], part)
        older.moved[at] += kept
        newer.rolled[place] -= part - kept
        is_any = is_any or kept < part
    older.grant()
    newer.grant()
    return is_any


def _alike(older: Balance, newer: Balance) -> Iterator[tuple[int, int]]:
    """Give the places of each allowance that both have, in both."""
    known = {a.name: (at, a.unit) for at, a in enumerate(newer.version.allowances)}
    for at, allowance in enumerate(older.version.allowances):
        place, unit = known.get(allowance.name, (-1, ""))
        if place >= 0 and unit == allowance.unit:
            yield at, place
