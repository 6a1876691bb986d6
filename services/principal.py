"""Who asks: a role gives scopes, and the tenant comes from the credential alone.

What a role may do is this table and nothing else. A tenant is the name of an ISP or a
BSP; the Network Provider's own roles have ``network`` and may act for a named ISP.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from services.actor import NETWORK


class Role(StrEnum):
    """What kind of program or person a client is."""

    ISP_SYSTEM = "isp_system"
    ISP_CSR = "isp_csr"
    ISP_READER = "isp_reader"
    BSP_SYSTEM = "bsp_system"
    NETWORK_SYSTEM = "network_system"
    NETWORK_CSR = "network_csr"
    NETWORK_READER = "network_reader"
    CLIENT_SOFTWARE = "client_software"


class Scope(StrEnum):
    """What may be done, as OAuth 2.0 scopes (RFC 6749 section 3.3)."""

    QUALIFY = "qualify"
    OVERRIDE = "qualify.override"
    ORDERS_READ = "orders.read"
    ORDERS_WRITE = "orders.write"
    ON_BEHALF = "orders.on_behalf"
    TASKS = "tasks.steer"
    INVENTORY_READ = "inventory.read"
    INVENTORY_WRITE = "inventory.write"
    USAGE_READ = "usage.read"
    ADDRESSES_READ = "addresses.read"
    ADDRESSES_STEER = "addresses.steer"
    PURCHASES = "purchases"
    BSP_USAGE = "bsp_usage"
    STATEMENTS = "statements"
    EVENTS = "events"


_ISP_READ: Final = frozenset(
    {
        Scope.ORDERS_READ,
        Scope.INVENTORY_READ,
        Scope.USAGE_READ,
        Scope.ADDRESSES_READ,
        Scope.STATEMENTS,
    }
)
_ISP: Final = _ISP_READ | {
    Scope.QUALIFY,
    Scope.ORDERS_WRITE,
    Scope.ADDRESSES_STEER,
    Scope.EVENTS,
    Scope.INVENTORY_WRITE,
}
_NETWORK: Final = _ISP | {
    Scope.OVERRIDE,
    Scope.ON_BEHALF,
    Scope.TASKS,
}

SCOPES: Final[dict[Role, frozenset[Scope]]] = {
    Role.ISP_SYSTEM: _ISP,
    Role.ISP_CSR: _ISP | {Scope.OVERRIDE},
    Role.ISP_READER: _ISP_READ,
    Role.BSP_SYSTEM: frozenset(
        {Scope.PURCHASES, Scope.BSP_USAGE, Scope.STATEMENTS, Scope.EVENTS}
    ),
    Role.NETWORK_SYSTEM: _NETWORK,
    Role.NETWORK_CSR: _NETWORK,
    Role.NETWORK_READER: _ISP_READ,
    # A program on the subscriber's side asks before any ISP is chosen; its order goes
    # to the ISP that it names, on the line that its connection proves.
    Role.CLIENT_SOFTWARE: frozenset(
        {Scope.QUALIFY, Scope.ORDERS_READ, Scope.ORDERS_WRITE}
    ),
}

OWNERS: Final[dict[Role, str]] = {
    Role.ISP_SYSTEM: "isp",
    Role.ISP_CSR: "isp",
    Role.ISP_READER: "isp",
    Role.BSP_SYSTEM: "bsp",
    Role.NETWORK_SYSTEM: NETWORK,
    Role.NETWORK_CSR: NETWORK,
    Role.NETWORK_READER: NETWORK,
    Role.CLIENT_SOFTWARE: NETWORK,
}
"""Whose a client of a role is: an ISP's, a BSP's, or the Network Provider's."""


class Principal(NamedTuple):
    """An authenticated client: its id and name, its role and tenant, what it may do."""

    client_id: str
    name: str
    role: Role
    tenant: str
    scopes: frozenset[Scope]

    @property
    def sees_all(self) -> bool:
        """Whether it may see every tenant's objects."""
        return self.tenant == NETWORK and self.role is not Role.CLIENT_SOFTWARE
