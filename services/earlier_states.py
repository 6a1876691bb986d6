"""Services as they were before their offering, ISP or account was another.

What was used then is of the offering of then, whatever the subscriber has had since:
rating a month again must not charge the first half of it by what was only ordered for
the second. The change feed knows how it was. An earlier state is one more service of
the network, which has the service's use added up with it (``rating.plans``). What an
offering costs is asked of the network as it is now, so that a mistake there can be
mended.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import Connection

from config.network import Network
from config.offers import Service
from rating.plans import STATE_MARK
from storage.network import bodies_of_modified

Earlier = Mapping[str, list[tuple[int, str]]]
"""Of a service that was changed: until when (epoch seconds) it was each of its earlier
states, in order, and what that is called."""


def with_earlier_states(
    connection: Connection, network: Network, since: int
) -> tuple[Network, Earlier]:
    """Give a network with what its services were before they were changed since a time,
    in epoch seconds. States whose ISP or offering is no more are left out."""
    isps = {isp.name for isp in network.isp}
    offerings = {offering.name for offering in network.offering}
    present = {service.name for service in network.service}
    found: dict[str, list[tuple[int, str]]] = {}
    states: list[Service] = []
    for name, bodies in bodies_of_modified(connection, "service", since):
        for (_, was), (until, became) in pairwise(bodies):
            isp, offering, account = before = _paid_by(was)
            if before == _paid_by(became) or name not in present:
                continue
            if isp in isps and offering in offerings:
                ends = found.setdefault(name, [])
                state = f"{name}{STATE_MARK}{len(ends)}"
                ends.append((until, state))
                states.append(
                    Service(
                        name=state, isp=isp, line="", offering=offering, account=account
                    )
                )
    everything = (*network.service, *states)
    return msgspec.structs.replace(network, service=everything), found


def state_at(earlier: Earlier, service: str, at: int) -> str:
    """Give what a service is called for what was used up to a time."""
    ends = earlier.get(service)
    if ends is None:
        return service
    place = bisect_left(ends, (at, ""))
    return ends[place][1] if place < len(ends) else service


def _paid_by(body: Mapping[str, Any]) -> tuple[str, str, str | None]:
    return body["isp"], body["offering"], body.get("account")
