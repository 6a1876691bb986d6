"""What a BSP's servers ask for: authorise, sell, capture, cancel and refund a purchase.

One event is one transaction: what it does to the purchase, the entry it makes, and the
answer that it gets, so that the same event asked again gets the same answer and does
nothing, whenever a process died. The BSP is who authenticated, never what was typed.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection, Row

from rating.entry import Book, Kind, Posting, Source
from rating.months import booked_in, span_at
from rating.purchase import (
    BEGINS,
    NEXT,
    RETRIABLE,
    Action,
    Denial,
    State,
    Terms,
    given_back,
    split,
    untimely,
)
from services.buyers import Buyers
from services.catalogue import Catalogue, Offer
from storage import purchases as repository
from storage.database import Database
from storage.entries import lock_head, post, read_closed

_RECYCLED_AT_ONCE: Final = 500

_Id = Annotated[str, Meta(min_length=1, max_length=253)]
_Named = Annotated[str, Meta(max_length=253)]


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a BSP sends. Amounts are in micro-units, tax included; ``at`` is when it
    happened, in epoch seconds.

    ``reference`` is the BSP's name for the purchase, ``user`` a user name or service.
    Without an ``amount`` a new purchase costs what the catalogue says, a capture takes
    all that is authorised and a refund gives back all that is left.
    """

    event_id: _Id
    action: Action
    reference: _Id
    at: int
    user: _Named = ""
    product: _Named = ""
    amount: int | None = None
    currency: _Named = ""


class Answer(Struct, frozen=True, kw_only=True):
    """What a BSP is told: the state of the purchase, and why it was not as asked.

    ``entry`` is the entry of the ledger that the event made. ``conflict`` is an event
    id that had another body before; nothing was done then.
    """

    purchase: int | None = None
    state: State | None = None
    amount: int = 0
    denial: Denial | None = None
    entry: int | None = None
    conflict: bool = False


def handle(
    database: Database, catalogue: Catalogue, bsp: str, event: Event, now: int
) -> Answer:
    """Do what an event of a BSP asks, once; the same event gets the same answer."""
    body = _body(event)
    with database.write.begin() as connection:
        repository.lock_buyer(connection, bsp, None)
        before = repository.find_event(connection, bsp, event.event_id)
        if before is not None:
            if before.body != body:
                return Answer(conflict=True)
            return msgspec.json.decode(before.answer, type=Answer)
        if event.action in BEGINS:
            answer = _begin(connection, catalogue, bsp, event, now)
        else:
            answer = _go_on(connection, bsp, event, now)
        repository.add_event(
            connection,
            bsp=bsp,
            event_id=event.event_id,
            purchase_id=answer.purchase,
            action=event.action.value,
            body=body,
            answer=msgspec.json.encode(answer).decode(),
            received_at=now,
        )
    return answer


def recycle(database: Database, catalogue: Catalogue, now: int) -> list[Answer]:
    """Try the pending sales again, after a fix of the network; give what became of
    each. Those that still cannot be priced stay."""
    answers: list[Answer] = []
    after = 0
    while True:
        with database.write.begin() as connection:
            rows = repository.pending(connection, after, _RECYCLED_AT_ONCE)
            buyers = Buyers(connection, catalogue)
            for row in rows:
                event = msgspec.json.decode(row.body, type=Event)
                service = buyers.service_of(event.user, event.at)
                offer = catalogue.offer(row.bsp, service, event.product, event.amount,
                                  event.currency, event.at)  # fmt: skip
                answers.append(_sell_again(connection, row, event, offer, now))
                after = row.id
        if len(rows) < _RECYCLED_AT_ONCE:
            return answers


def expire(database: Database, now: int) -> int:
    """Let go of authorisations that were not captured in time; give how many."""
    with database.write.begin() as connection:
        ids = repository.lapsed(connection, now, 10_000)
        for purchase_id in ids:
            repository.change_purchase(
                connection, purchase_id, state=State.EXPIRED.value, updated_at=now
            )
    return len(ids)


def _begin(
    connection: Connection, catalogue: Catalogue, bsp: str, event: Event, now: int
) -> Answer:
    if repository.find_purchase(connection, bsp, event.reference) is not None:
        return Answer(denial=Denial.KNOWN_REFERENCE)
    offer: Offer | Denial | None = untimely(event.at, now)
    at = now if offer else event.at  # what cannot be a time is in the event's body
    if offer is None:
        service = Buyers(connection, catalogue).service_of(event.user, at)
        offer = catalogue.offer(bsp, service, event.product, event.amount,
                          event.currency, at)  # fmt: skip
    denial = offer if isinstance(offer, Denial) else None
    if isinstance(offer, Offer):
        repository.lock_buyer(connection, bsp, offer.service)
        denial = _over_limit(connection, catalogue, offer, bsp, event.at, now)
    is_sale = event.action is Action.SALE
    state = State.CAPTURED if is_sale else State.AUTHORISED
    if denial is not None:
        state = State.PENDING if is_sale and denial in RETRIABLE else State.DENIED
    values: dict[str, Any] = {"service": None, "authorised_amount": 0}
    if isinstance(offer, Offer):
        values = _of_offer(offer, now)
    made = denial is None
    captured = offer.amount if made and is_sale and isinstance(offer, Offer) else 0
    purchase_id = repository.add_purchase(
        connection,
        bsp=bsp,
        reference=event.reference,
        product=event.product or None,
        state=state.value,
        reason=denial,
        captured_amount=captured,
        refunded_amount=0,
        at=at,
        updated_at=now,
        **values,
    )
    entry = None
    if captured and isinstance(offer, Offer):
        legs = split(captured, offer.terms)
        entry = _post(
            connection, offer.isp, bsp, offer.service, offer.currency, offer.terms,
            Kind.PURCHASE, legs, event.at, purchase_id, now,
        )  # fmt: skip
        repository.change_purchase(connection, purchase_id, entry_id=entry)
    amount = offer.amount if isinstance(offer, Offer) else 0
    return Answer(
        purchase=purchase_id, state=state, amount=amount, denial=denial, entry=entry
    )


def _sell_again(
    connection: Connection,
    row: Row[Any],
    event: Event,
    offer: Offer | Denial,
    now: int,
) -> Answer:
    if isinstance(offer, Denial):
        repository.change_purchase(
            connection, row.id, reason=offer.value, updated_at=now
        )
        return Answer(purchase=row.id, state=State.PENDING, denial=offer)
    # What was sold before the limit was asked is owed, whatever the limit.
    entry = _post(
        connection, offer.isp, row.bsp, offer.service, offer.currency, offer.terms,
        Kind.PURCHASE, split(offer.amount, offer.terms), event.at, row.id, now,
    )  # fmt: skip
    repository.change_purchase(
        connection,
        row.id,
        state=State.CAPTURED.value,
        reason=None,
        captured_amount=offer.amount,
        entry_id=entry,
        updated_at=now,
        **_of_offer(offer, now),
    )
    return Answer(
        purchase=row.id, state=State.CAPTURED, amount=offer.amount, entry=entry
    )


def _go_on(connection: Connection, bsp: str, event: Event, now: int) -> Answer:
    row = repository.find_purchase(connection, bsp, event.reference)
    if row is None:
        return Answer(denial=Denial.UNKNOWN_PURCHASE)
    state = State(row.state)
    following = NEXT[state, event.action]
    told = Answer(purchase=row.id, state=state)
    if denied := untimely(event.at, now):
        return msgspec.structs.replace(told, denial=denied)
    if following is None:
        return msgspec.structs.replace(told, denial=Denial.NOT_IN_THIS_STATE)
    values: dict[str, Any] = {}
    entry, amount = None, 0
    if event.action is Action.CAPTURE:
        amount = row.authorised_amount if event.amount is None else event.amount
        # What was held is free by then, whatever time the BSP gives its event.
        if row.expires_at is not None and max(event.at, now) >= row.expires_at:
            expired = Denial.AUTHORISATION_EXPIRED
            return msgspec.structs.replace(told, denial=expired)
        if not min(row.authorised_amount, 1) <= amount <= row.authorised_amount:
            return msgspec.structs.replace(told, denial=Denial.AMOUNT_EXCEEDED)
        terms = msgspec.json.decode(row.terms, type=Terms)
        entry = _post_for(
            connection, row, terms, Kind.PURCHASE, split(amount, terms), event, now
        )
        values = {"captured_amount": amount, "entry_id": entry}
    elif event.action is Action.REFUND:
        left = row.captured_amount - row.refunded_amount
        amount = left if event.amount is None else event.amount
        if not min(left, 1) <= amount <= left:
            return msgspec.structs.replace(told, denial=Denial.AMOUNT_EXCEEDED)
        terms = msgspec.json.decode(row.terms, type=Terms)
        legs = given_back(row.captured_amount, row.refunded_amount, amount, terms)
        entry = _post_for(connection, row, terms, Kind.REFUND, legs, event, now)
        values = {"refunded_amount": row.refunded_amount + amount}
        following = following if amount == left else State.PARTLY_REFUNDED
    repository.change_purchase(
        connection, row.id, state=following.value, updated_at=now, **values
    )
    return Answer(purchase=row.id, state=following, amount=amount, entry=entry)


def _over_limit(
    connection: Connection,
    catalogue: Catalogue,
    offer: Offer,
    bsp: str,
    at: int,
    now: int,
) -> Denial | None:
    span = span_at(offer.terms.zone, at)
    for limit in catalogue.limits(offer, bsp):
        held = repository.spent(
            connection,
            offer.service,
            limit.bsp,
            offer.currency,
            span.starts_at,
            span.ends_at,
            now,
        )
        if held + offer.amount > limit.amount:
            return Denial.LIMIT_EXCEEDED
    return None


def _of_offer(offer: Offer, now: int) -> dict[str, Any]:
    return {
        "tenant": offer.isp,
        "service": offer.service,
        "currency": offer.currency,
        "authorised_amount": offer.amount,
        "terms": msgspec.json.encode(offer.terms).decode(),
        "expires_at": now + offer.valid_seconds,
    }


def _post_for(
    connection: Connection,
    row: Row[Any],
    terms: Terms,
    kind: Kind,
    legs: tuple[int, int, int, int, int],
    event: Event,
    now: int,
) -> int | None:
    if not any(legs):
        return None
    return _post(
        connection, row.tenant, row.bsp, row.service, row.currency, terms, kind, legs,
        event.at, row.id, now,
    )  # fmt: skip


def _post(
    connection: Connection,
    isp: str,
    bsp: str,
    service: str,
    currency: str,
    terms: Terms,
    kind: Kind,
    legs: tuple[int, int, int, int, int],
    at: int,
    purchase_id: int,
    now: int,
) -> int:
    """Post the entry of a purchase, in the next month when its own is closed."""
    head = lock_head(connection)
    own = span_at(terms.zone, at).month
    month = booked_in(read_closed(connection), isp, terms.zone, own)
    book = Book(
        isp, terms.zone, month, kind.value, Source.PURCHASE.value, bsp,
        terms.tax_party, terms.tax_class, currency, "", "", "",
    )  # fmt: skip
    late_from = None if month == own else own
    posting = Posting(service, *legs, at, late_from, purchase_id, None, None)
    return post(connection, head, {book: [posting]}, now).last_entry_id


def _body(event: Event) -> str:
    """The event as one text, the same for the same event however it was written."""
    return msgspec.json.encode(event, order="deterministic").decode()
