"""The demo's money: a purchase, the rated bill of a session, a settlement.

The figures are those of the commands: entries of the ledger, the statement of a month,
what everybody has of it. Each entry's legs, and what everybody has, must sum to zero.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from daemon import clock
from daemon.commands.stored import network_in
from daemon.demo_session import USER
from daemon.demo_telling import Rows, expect, fairlane, run, say, show, wait_for
from daemon.preparation import Plan
from daemon.stores import opened
from rating.purchase import Action, State
from services import purchases
from services.catalogue import Catalogue
from services.purchases import Answer, Event

_BSP, _PRODUCT, _ISP = "filmhouse", "film", "aurora"
_LEGS: Final = ("subscriber", "isp_amount", "party_amount", "network", "tax")
_ENTRIES: Final = ("entry", "kind", "source", "party", "currency", *_LEGS)
_PURCHASES: Final = (
    *("bsp", "reference", "service", "product", "currency"),
    *("authorised", "captured", "state"),
)
_SETTLEMENT: Final = ("currency", "account", "owner", "amount")


def tell_purchase(plan: Plan) -> None:
    """Sell the subscriber a film: authorised, asked again, captured."""
    reference = f"demo-{int(clock.now() * 1000):x}"
    say(f"{USER} buys a film at the BSP {_BSP}, whose servers ask Fairlane.")
    say("", f"1. {_BSP} asks whether the subscriber may buy {_PRODUCT}.")
    answer = _send(plan, Action.AUTHORISE, reference, State.AUTHORISED)
    say("   The answer is lost, so it asks again, with the same event id.")
    again = _send(plan, Action.AUTHORISE, reference, State.AUTHORISED)
    expect("the second answer", again, answer)
    say("   It gets the same answer, and nothing is authorised twice.")
    say("", "2. The film has begun, and the price is captured.")
    answer = _send(plan, Action.CAPTURE, reference, State.CAPTURED)
    rows = fairlane(plan, "purchases", "list", "--bsp", _BSP)
    say("   fairlane purchases list:")
    show([r for r in rows if r["reference"] == reference], _PURCHASES)
    entries = [e for e in _entries(plan) if e["entry"] == answer.entry]
    say("   Its entry in the ledger, what is owed with a minus:")
    show(entries, _ENTRIES)
    expect("the number of entries", len(entries), 1)
    _balanced(entries)


def _send(plan: Plan, action: Action, reference: str, state: State) -> Answer:
    with opened(plan) as database:
        with database.read.connect() as connection:
            catalogue = Catalogue(network_in(connection))
        now = int(clock.now())
        event = Event(
            event_id=f"{reference}-{action.value}",
            action=action,
            reference=reference,
            at=int(reference.removeprefix("demo-"), 16) // 1000,
            user=USER,
            product=_PRODUCT if action is Action.AUTHORISE else "",
        )
        answer = purchases.handle(database, catalogue, _BSP, event, now)
    expect(f"the purchase's state after {action.value}", answer.state, state)
    return answer


def _entries(plan: Plan) -> Rows:
    service = next(
        s.name for s in (plan.network.service if plan.network else ())
        if USER in s.user_names
    )  # fmt: skip
    return fairlane(plan, "ledger", "entries", "--service", service)


def _balanced(entries: Rows) -> None:
    for entry in entries:
        total = sum(Decimal(entry[leg]) for leg in _LEGS)
        expect(f"the sum of entry {entry['entry']}", total, 0)


def tell_bill(plan: Plan, session_id: str) -> None:
    """Show what the session costs, the month's bill, and that it all sums up."""
    usage = {row["id"] for row in fairlane(plan, "usage", "--session", session_id)}
    say("Each record of the session's usage was rated twice: for the subscriber by the")
    say(f"tariff of {_ISP}, and for {_ISP} by that of the Network Provider.")

    def look() -> Rows | None:
        rated = [
            entry
            for entry in _entries(plan)
            if entry["source"] == "usage" and entry["source_id"] in usage
        ]
        return rated if {entry["source_id"] for entry in rated} == usage else None

    rated = wait_for("entry for each record of usage", look)
    _balanced(rated)
    say("", "1. The entries of the session, as fairlane ledger entries shows them:")
    show(rated, _ENTRIES)
    dearest = min(rated, key=lambda entry: Decimal(entry["subscriber"]))
    entry = str(dearest["entry"])
    say(f"   The dearest of them, as fairlane explain {entry} shows it:")
    say(*(f"      {line}" for line in run(plan, "explain", entry)))
    month = rated[-1]["month"]
    run(plan, "ledger", "levy", month)
    say("", f"2. The bill of {USER} for {month} so far, tax included:")
    _bill(plan, month)
    say("", f"3. What everybody has of {month}: fairlane ledger settlement {month}")
    positions = fairlane(plan, "ledger", "settlement", month)
    show(positions, _SETTLEMENT)
    for currency in sorted({p["currency"] for p in positions}):
        mine = [Decimal(p["amount"]) for p in positions if p["currency"] == currency]
        expect(f"the settlement in {currency}", sum(mine), 0)
        say(f"   In {currency} that is 0 together: nothing is lost or made.")
    (proof,) = fairlane(plan, "ledger", "verify")
    say(
        f"   fairlane ledger verify: {proof['entries']} entries in {proof['batches']}"
        f" batches, sha256 {proof['digest'][:16]}...",
    )


def _bill(plan: Plan, month: str) -> None:
    """Add the subscriber's entries of a month up, by kind and party."""
    sums: dict[tuple[str, str, str], list[Decimal]] = {}
    for entry in _entries(plan):
        if entry["month"] == month:
            key = entry["kind"], entry["source"], entry["party"] or _ISP
            sums.setdefault(key, []).append(-Decimal(entry["subscriber"]))
    rows: Rows = [
        {"for": kind, "from": source, "owed to": party, "entries": len(amounts),
         "EUR": f"{sum(amounts):.6f}"}
        for (kind, source, party), amounts in sorted(sums.items())
    ]  # fmt: skip
    total = sum(Decimal(row["EUR"]) for row in rows)
    rows.append({"for": "together", "from": "", "owed to": "", "entries": "",
                 "EUR": f"{total:.6f}"})  # fmt: skip
    show(rows, ("for", "from", "owed to", "entries", "EUR"))
