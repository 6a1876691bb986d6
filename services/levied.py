"""What a levy of a period was levied on: the entries behind a tax or a commission.

A levy is the tax on a service's total of the month less what was levied before, so
what explains it is that total by book, with the first and the last entry in it, and the
sum of the levies before; where the tax changes within the month, of the days alike.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from rating.entry import Entry
from rating.levies import bases_of, basis_of, total_of
from rating.taxes import Taxes
from storage.entry_queries import EntryFilter, balances, sums_of_service


class LeviedOn(NamedTuple):
    """A service's entries in one book up to the levy, and what they came to before tax,
    in micro-units."""

    tariff: str
    entries: int
    first_entry: int
    last_entry: int
    amount: int


class Basis(NamedTuple):
    """What a levy is on, and the five legs of the levies before it in micro-units."""

    levied_on: list[LeviedOn]
    levied_before: tuple[int, ...]


def basis_behind(connection: Connection, taxes: Taxes, levy: Entry) -> Basis:
    """Look up what an entry of source ``period`` was levied on."""
    basis = basis_of(levy.book)
    party, at = levy.book.tax_party, levy.posting.at
    since, until, _ = taxes.span(basis.tax_class, party, basis.zone, at)
    service, last = levy.posting.service, levy.id - 1
    month = EntryFilter(tenant=basis.tenant, month=basis.month)
    found = {b.id: b.book for b in balances(connection, month)}
    charged = [number for number, book in found.items() if basis in bases_of(book)]
    own = [number for number, book in found.items() if book == levy.book]
    of = service, last, since, until
    levied_on = [
        LeviedOn(
            found[part.book_id].wholesale_tariff
            if basis.wholesale
            else found[part.book_id].tariff,
            part.entries,
            part.first_entry_id,
            part.last_entry_id,
            total_of(basis, part.amounts),
        )
        for part in sums_of_service(connection, charged, *of)
    ]
    before = [part.amounts for part in sums_of_service(connection, own, *of)]
    return Basis(levied_on, before[0] if before else (0, 0, 0, 0, 0))
