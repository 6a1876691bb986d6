"""What a party is told of its money in a month: lines, sums, and the statement's life.

A line is an entry with the legs of everybody in it, so that its recipient can see how
its own came about; ``amount`` is the recipient's own. The summary is by kind, currency
and tariff, and is the sum of the lines: whoever has the file can add it up again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from rating.entry import NETWORK, Account, Book, Entry, Kind


class Role(StrEnum):
    """What a statement's recipient is in the network."""

    ISP = "isp"
    BSP = "bsp"
    NETWORK = "network"


class State(StrEnum):
    """Where a statement is in its life."""

    OPENED = "opened"
    ISSUED = "issued"
    DISPUTED = "disputed"
    SETTLED = "settled"


class Step(StrEnum):
    """What can be done with a statement."""

    ISSUE = "issue"
    DISPUTE = "dispute"
    RESOLVE = "resolve"
    SETTLE = "settle"


NEXT: Final[Mapping[tuple[State, Step], State | None]] = {
    (state, step): None for state in State for step in Step
} | {
    (State.OPENED, Step.ISSUE): State.ISSUED,
    (State.ISSUED, Step.DISPUTE): State.DISPUTED,
    (State.DISPUTED, Step.RESOLVE): State.ISSUED,
    (State.ISSUED, Step.SETTLE): State.SETTLED,
    (State.DISPUTED, Step.SETTLE): State.SETTLED,
}
"""The state that a step leads to; None where it is refused. What a dispute changes is
a reversal and a new entry in an open month, never the statement."""


class Line(NamedTuple):
    """One line; amounts in micro-units, times in epoch seconds, None is empty.

    ``reference`` is what the recipient knows it by: the BSP's own reference of a
    purchase, the number of a usage record, the service and element of a fee.
    ``detail`` has the charges, as JSON; ``records`` the ids that the recipient itself
    has what is behind it by: a JSON array of a BSP's event ids, of an ISP the address
    that was sold.
    """

    entry: int
    posted_at: int
    at: int
    kind: str
    source: str
    reference: str | None
    isp: str
    service: str | None
    party: str
    currency: str
    tariff: str
    amount: int
    subscriber_amount: int
    isp_amount: int
    party_amount: int
    network_amount: int
    tax_amount: int
    tax_party: str
    late_from: str | None
    reverses: int | None
    detail: str | None
    records: str | None = None


class SummaryLine(NamedTuple):
    """The sums of the lines that have these in common, and how many there are."""

    kind: str
    source: str
    isp: str
    party: str
    currency: str
    tariff: str
    tax_party: str
    lines: int
    amount: int
    subscriber_amount: int
    isp_amount: int
    party_amount: int
    network_amount: int
    tax_amount: int


def own_account(role: Role, recipient: str, book: Book) -> Account | None:
    """Say which leg of a book's entries is the recipient's; None when none is."""
    if role is Role.NETWORK:
        return Account.NETWORK
    if book.party == recipient:
        return Account.PARTY
    return Account.ISP if book.tenant == recipient else None


def is_told(role: Role, book: Book) -> bool:
    """Say whether a book concerns the recipient, whose it is already."""
    return role is not Role.NETWORK or bool(
        book.wholesale_tariff or book.tax_party == NETWORK or book.kind in _WITH_FEE
    )


def lines_in(
    book: Book, account: Account | None
) -> Callable[[Entry, int, str | None, str | None], Line]:
    """Give what makes the line of an entry of a book, from when it was posted, its
    reference and records, for who has this account in it. A book is looked at once."""
    kind, source, isp, party = book.kind, book.source, book.tenant, book.party
    currency, tariff, tax_party = book.currency, tariff_of(book), book.tax_party
    place = 0 if account is None else _LEG[account]

    def line(
        entry: Entry, posted_at: int, reference: str | None, records: str | None
    ) -> Line:
        number, _, posting = entry
        service, s, i, p, n, t, at, late_from, _, reverses, detail = posting
        own = (0, s, i, p, n, t)[place]
        return Line(
            number, posted_at, at, kind, source, reference, isp, service, party,
            currency, tariff, own, s, i, p, n, t, tax_party, late_from, reverses,
            detail, records,
        )  # fmt: skip

    return line


def summary_line(
    book: Book, entries: int, amounts: tuple[int, ...], account: Account | None
) -> SummaryLine:
    """Make the summary of a book, for who has this account in it."""
    subscriber, isp, party, network, tax = amounts
    return SummaryLine(
        book.kind,
        book.source,
        book.tenant,
        book.party,
        book.currency,
        tariff_of(book),
        book.tax_party,
        entries,
        0 if account is None else amounts[_LEG[account] - 1],
        subscriber,
        isp,
        party,
        network,
        tax,
    )


def tariff_of(book: Book) -> str:
    """Name the tariffs of a book: the ISP's or BSP's, the Network Provider's."""
    return " ".join(filter(None, (book.tariff, book.wholesale_tariff)))


_LEG: Final = {account: place for place, account in enumerate(Account, start=1)}
_WITH_FEE: Final = frozenset({Kind.PURCHASE, Kind.REFUND, Kind.BSP_USAGE})
