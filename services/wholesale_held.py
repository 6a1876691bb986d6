"""Which wholesale tariff an ISP paid by, from which day until which.

What it owes for the shape of its use is charged when a period has ended, and the ISP
may have come to another tariff in it: each tariff is then paid for its own days. The
change feed knows how it was; the day of a change is the first of the new tariff, as it
is for the fees of services.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection

from storage.network import bodies_of_modified, last_bodies, touched_since


class Held(NamedTuple):
    """A tariff by its name, and the moments (epoch seconds) at which an ISP came to it
    and left it; None where it always had it, or has it now."""

    tariff: str
    since: int | None = None
    until: int | None = None


def wholesale_held(
    connection: Connection, present: Mapping[str, str | None], since: int
) -> dict[str, list[Held]]:
    """Give the tariffs that each ISP paid by, in order, of which none ended before
    ``since``; ``present`` has the ones that the ISPs of the network have now. One that
    has left the network since pays for the days until then."""
    deleted = touched_since(connection, "isp", since, ("delete",))
    left = {isp: at for isp, at in deleted.items() if isp not in present}
    last = last_bodies(connection, "isp", sorted(left))
    names_now = {**present, **{i: b.get("wholesale") for i, b in last.items()}}
    found = {
        isp: [Held(name, until=left.get(isp))]
        for isp, name in names_now.items()
        if name is not None
    }
    for isp, bodies in bodies_of_modified(connection, "isp", since):
        if isp not in names_now:
            continue
        names = [(at, body.get("wholesale")) for at, body in bodies]
        turns = [
            (after[0], after[1])
            for before, after in pairwise(names)
            if before[1] != after[1]
        ]
        starts: list[tuple[int | None, str | None]] = [(None, names[0][1]), *turns]
        ends = [at for at, _ in turns] + [left.get(isp)]
        found[isp] = [
            Held(name, begun, ended)
            for (begun, name), ended in zip(starts, ends, strict=True)
            if name is not None and (ended is None or ended >= since)
        ]
    return found
