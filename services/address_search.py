"""Which site an address means: found by keys, scored, and never guessed.

It needs nothing of the network but the sites, which are only read. So those who answer
questions search before their transaction, beside the commit of the one before it, and
what everyone else waits for is shorter; a site that changes meanwhile is told as it was
when it was asked for.

Equal lines are taken first, then those that share postcode and number, then those whose
street sounds alike: a street may be long, and says nothing where the postcode decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from provisioning.addresses import (
    Address,
    Candidate,
    accepted,
    is_clear,
    normalise,
    rank,
)
from storage.sites import Site, sites_by, sites_of_street


class Match(NamedTuple):
    """The site that an address means, if that is certain, and what is like it."""

    site: Site | None
    candidates: tuple[Candidate, ...]


Matches = Mapping[str, Match]


def search(connection: Connection, texts: Iterable[str]) -> Matches:
    """Find what addresses mean, with one look-up a key for all of them."""
    asked = {text: normalise(text) for text in texts}
    equal = sites_by(connection, "normal", [a.normal for a in asked.values()])
    found: dict[str, Match] = {}
    left: dict[str, Address] = {}
    for text, address in asked.items():
        sites = equal.get(address.normal)
        if sites is None:
            left[text] = address
        else:
            found[text] = _match(sites, _ranked(address, sites))
    if left:
        found |= _search_further(connection, left)
    return found


def _search_further(
    connection: Connection, asked: Mapping[str, Address]
) -> dict[str, Match]:
    numbered = {text: a for text, a in asked.items() if a.number}
    keys = [a.postcode_key for a in numbered.values()]
    near = sites_by(connection, "postcode_key", keys)
    found: dict[str, Match] = {}
    unclear: dict[str, Address] = {}
    for text, address in numbered.items():
        sites = near.get(address.postcode_key, [])
        ranked = _ranked(address, sites)
        if is_clear(ranked, address.postcode):
            found[text] = _match(sites, ranked)
        else:
            unclear[text] = address
    alike = sites_by(connection, "street_key", [a.street_key for a in unclear.values()])
    for text, address in unclear.items():
        known = [
            *near.get(address.postcode_key, ()),
            *alike.get(address.street_key, ()),
        ]
        sites = list({site.name: site for site in known}.values())
        found[text] = _match(sites, _ranked(address, sites))
    for text, address in asked.items():
        if not address.number:
            sites = sites_of_street(connection, address.street_key)
            found[text] = _match(sites, _ranked(address, sites))
    return found


def _ranked(asked: Address, sites: Sequence[Site]) -> list[Candidate]:
    return rank(asked, [(site.name, site.address, site.normal) for site in sites])


def _match(sites: Sequence[Site], candidates: Sequence[Candidate]) -> Match:
    best = accepted(candidates)
    if best is None:
        return Match(None, tuple(candidates))
    site = next(site for site in sites if site.name == best.site)
    return Match(site, (best,))
