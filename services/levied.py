"""What a levy of a period was levied on: the entries behind a tax or a commission.

A levy is the tax on a service's total of the month less what was levied before, so
what explains it is that total by book, with the first and the last entry in it, and the
sum of the levies before; where the tax changes within the month, of the days alike.
What is levied is worked out by the terms that the network has now.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from config.network import Network
from config.parties import Bsp
from config.quantities import part_of
from rating.entry import Entry, Kind
from rating.levies import Cut, bases_of, basis_of, levy, owed_by, total_of
from rating.taxes import Taxes
from storage.entry_queries import EntryFilter, balances, sums_of_service
from storage.network import last_bodies


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


class Levied(NamedTuple):
    """Which parts of a basis are levied, as the network has it now, and the five legs
    of the levy by that."""

    cut: Cut
    legs: tuple[int, ...]


def bsps_of(
    connection: Connection, network: Network, names: set[str]
) -> dict[str, Bsp]:
    """Give BSPs by their names; those that left have the terms that they last had."""
    bsps = {bsp.name: bsp for bsp in network.bsp}
    gone = last_bodies(connection, "bsp", sorted(names - bsps.keys()))
    return bsps | {name: msgspec.convert(body, Bsp) for name, body in gone.items()}


def cut_of(bsp: Bsp | None, tax: int) -> Cut:
    """Say which parts of what is charged are levied: the tax, in hundredths of a per
    cent, and a BSP's shares of others."""
    if bsp is None:
        return Cut(tax)
    given = (bsp.isp_commission, bsp.network_fee)
    commission, fee = (0 if g is None else part_of(g) for g in given)
    return Cut(tax, commission, fee)


def levied_now(
    connection: Connection, network: Network, entry: Entry, on: Basis
) -> Levied:
    """Work out the levy that an entry is, of what it is on, by what the network has."""
    basis, party = basis_of(entry.book), entry.book.tax_party
    seller = basis.party if basis.kind == Kind.BSP_USAGE else ""
    bsp = bsps_of(connection, network, {seller} - {""}).get(seller)
    cut = Cut(0)
    if party == owed_by(basis, "bsp" if bsp is None else bsp.tax_owed_by):
        taxes = Taxes(network.tax)
        span = taxes.span(basis.tax_class, party, basis.zone, entry.posting.at)
        cut = cut_of(bsp, span.rate)
    whole = levy(basis, cut, sum(part.amount for part in on.levied_on))
    legs = zip(whole, on.levied_before, strict=True)
    return Levied(cut, tuple(now - before for now, before in legs))


def basis_behind(connection: Connection, taxes: Taxes, entry: Entry) -> Basis:
    """Look up what an entry of source ``period`` was levied on."""
    basis = basis_of(entry.book)
    party, at = entry.book.tax_party, entry.posting.at
    since, until, _ = taxes.span(basis.tax_class, party, basis.zone, at)
    service, last = entry.posting.service, entry.id - 1
    month = EntryFilter(tenant=basis.tenant, month=basis.month)
    found = {b.id: b.book for b in balances(connection, month)}
    charged = [number for number, book in found.items() if basis in bases_of(book)]
    own = [number for number, book in found.items() if book == entry.book]
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
