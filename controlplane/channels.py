"""The channels that orders come in by, and who acts in each.

A channel is told by the credential, not by the address that was asked: so an order of
an ISP's web system, of its representative, of the Network Provider's and of client
software are the same order with another actor.
"""

from __future__ import annotations

from typing import Final

from services.actor import CLIENT_SOFTWARE, Actor
from services.principal import Principal, Role, Scope

CHANNELS: Final[dict[Role, str]] = {
    Role.ISP_SYSTEM: "isp_web",
    Role.ISP_CSR: "isp_csr",
    Role.ISP_READER: "isp_web",
    Role.BSP_SYSTEM: "bsp_web",
    Role.NETWORK_SYSTEM: "network_system",
    Role.NETWORK_CSR: "network_csr",
    Role.NETWORK_READER: "network_system",
    Role.CLIENT_SOFTWARE: CLIENT_SOFTWARE,
}

MQTT: Final = "mqtt"


def actor_of(principal: Principal, isp: str | None = None) -> Actor | None:
    """Give who acts; ``isp`` is the ISP that the request names, if it does.

    An ISP's own client may name its own ISP and no other. The Network Provider's acts
    on behalf of the ISP that it names, which is told. Client software acts for the ISP
    that its subscriber chose, within that ISP's tenant. None when it may not.
    """
    channel = CHANNELS[principal.role]
    if principal.role is Role.CLIENT_SOFTWARE:
        return Actor(principal.name, isp, channel) if isp else None
    if principal.sees_all:
        if isp is not None and Scope.ON_BEHALF not in principal.scopes:
            return None
        return Actor(principal.name, principal.tenant, channel, isp)
    if isp not in (None, principal.tenant):
        return None
    return Actor(principal.name, principal.tenant, channel)
