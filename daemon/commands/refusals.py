"""What the commands of money refuse, in words: what is refused, why, and what to do.

The code that programs go by is behind the words.
"""

from __future__ import annotations

from typing import Final

from rating.statement import NEXT, State, Step
from services import corrections, periods, statements
from services.statements import Recipient

_PAST: Final = {
    Step.ISSUE: "issued",
    Step.DISPUTE: "disputed",
    Step.RESOLVE: "resolved",
    Step.SETTLE: "settled",
}

CLOSING: Final = {
    periods.Refusal.NOT_OVER: "it is not over there yet",
    periods.Refusal.CLOSED: "closed already",
    periods.Refusal.STILL_BOOKED: "it is booked in faster than it is levied: try again",
}
"""Why a month was not closed."""


def correction_refused(
    refusal: corrections.Refusal, entry: int, undo: int | None, month: str
) -> str:
    """Say why ``entry`` is not taken back. ``undo`` is what took it back already, or
    what it takes back itself; ``month`` is the one it is booked in."""
    why = {
        corrections.Refusal.UNKNOWN: (
            f"there is no entry {entry}: fairlane ledger entries lists those that are"
        ),
        corrections.Refusal.REVERSED: (
            f"entry {entry} was taken back already, by entry {undo}"
        ),
        corrections.Refusal.REVERSAL: (
            f"entry {entry} takes back entry {undo}, and stays: what is still owed is"
            " charged anew, in the way that it came"
        ),
        corrections.Refusal.RATED: (
            f"entry {entry} is of network usage, which is rated again: by fairlane"
            f" rerate {month}"
        ),
        corrections.Refusal.REFUNDED: (
            f"entry {entry} is of a purchase: its BSP cancels or refunds it"
        ),
        corrections.Refusal.LEVIED: (
            f"entry {entry} is a tax or a commission, which follows what it is on:"
            " take that back"
        ),
        corrections.Refusal.GIVEN_BACK: (
            f"entry {entry} is of a fee that was given back in part since, by another"
            " entry: take that back first"
        ),
    }[refusal]
    return f"{why} ({refusal})"


def statement_refused(
    refusal: statements.Refusal,
    whose: Recipient,
    step: Step | None = None,
    state: State | None = None,
    still_open: list[tuple[str, str]] = [],  # noqa: B006  it is only read
) -> str:
    """Say why a statement is not opened, or a step not taken from its ``state``;
    ``still_open`` are the ISPs and zones in which its month is."""
    _, name, month = whose
    which = f"the statement of {month} for {name}"
    match refusal:
        case statements.Refusal.NOT_BEGUN:
            why = f"{month} has not begun: a statement is opened when its month has"
        case statements.Refusal.NOT_OPENED:
            how = f"fairlane statement open {name} {month}"
            why = (
                f"there is no statement of {month} for {name}: open it first, by {how}"
            )
        case statements.Refusal.NOT_CLOSED:
            where = ", ".join(f"{isp} in {zone}" for isp, zone in still_open)
            why = (
                f"{month} is open yet for {where}, so {which} cannot be issued: close"
                f" it first, by fairlane ledger close {month}"
            )
        case _:
            steps = [_PAST[s] for s in Step if state and NEXT[state, s]]
            can = f"it can be {' or '.join(steps)}" if steps else _AT_ITS_END
            why = f"{which} is {state}, so {step} is refused: {can}"
    return f"{why} ({refusal})"


_AT_ITS_END: Final = "there is no step from there"
