"""What may be asked of qualification, and what makes no sense of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from provisioning import addresses
from provisioning.refusal import Refusal
from provisioning.subscriber_equipment import Equipment
from services.actor import Actor
from services.provisioning import Transaction

_WHERE: Final = ("site", "line", "address", "token", "source")

_OFFERINGS: Final = 50
"""Offerings asked for at once."""


class Override(Struct, frozen=True):
    """A person's choice of a site where the address did not decide, and why."""

    site: str
    reason: str


class Query(Struct, frozen=True, kw_only=True):
    """One question: where (one of site, line, address, token or source), and what.

    ``source`` is the address that the question came from: its lease says the line.
    ``isp`` None asks for every ISP (TMF645's query), which holds nothing; ``offerings``
    empty asks for all of the ISP's. ``seed`` orders the ISPs, and is kept.
    """

    actor: Actor
    isp: str | None = None
    site: str | None = None
    line: str | None = None
    address: str | None = None
    token: str | None = None
    source: str | None = None
    offerings: tuple[str, ...] = ()
    external_id: str = ""
    alternatives: bool = True
    hold: bool = True
    seed: str = ""
    override: Override | None = None
    equipment: Equipment | None = None


def addresses_in(queries: Iterable[Query]) -> list[str]:
    """List the addresses that questions want to be searched for."""
    return [
        query.address
        for query in queries
        if query.address
        and query.override is None
        and len(query.address) <= addresses.LENGTH
    ]


def refusal(transaction: Transaction, query: Query) -> Refusal | None:
    """Say why a question is not answered; None when it makes sense."""
    inventory = transaction.inventory
    given = [where for where in _WHERE if getattr(query, where)]
    if len(given) != 1:
        reason = f"name exactly one of {', '.join(_WHERE)}"
        return Refusal("place_ambiguous" if given else "place_missing", "", reason)
    if query.address is not None and len(query.address) > addresses.LENGTH:
        reason = f"an address has at most {addresses.LENGTH} characters"
        return Refusal("address_too_long", "/address", reason)
    if query.isp is not None and query.isp not in inventory.isp:
        return Refusal("unknown_isp", "/isp", f"there is no ISP called {query.isp!r}")
    if len(query.offerings) > _OFFERINGS:
        reason = f"at most {_OFFERINGS} offerings are asked for at once"
        return Refusal("too_many_offerings", "/offerings", reason)
    if query.override is not None and not query.override.reason.strip():
        return Refusal("reason_missing", "/override/reason", "say why")
    for position, name in enumerate(query.offerings):
        offering = inventory.offering.get(name)
        if offering is None or (query.isp and offering.isp != query.isp):
            reason = f"there is no offering called {name!r}"
            return Refusal("unknown_offering", f"/offerings/{position}", reason)
    return None
