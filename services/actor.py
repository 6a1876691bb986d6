"""Who asks: a person or a program, for whom, and through which channel."""

from __future__ import annotations

from typing import Final, NamedTuple

NETWORK: Final = "network"
"""The Network Provider's tenant; ISPs and BSPs are tenants by their names."""


CLIENT_SOFTWARE: Final = "client_software"
"""The channel of programs on subscribers' side, which share a credential."""


class Actor(NamedTuple):
    """An authenticated party: the tenant comes from its credential, never from a body.

    ``on_behalf`` names the ISP that the Network Provider's staff act for.
    """

    name: str
    tenant: str
    channel: str
    on_behalf: str | None = None

    @property
    def isp(self) -> str | None:
        """The ISP whose business this is; None when no ISP is named."""
        return self.on_behalf if self.tenant == NETWORK else self.tenant

    @property
    def sees(self) -> str | None:
        """The tenant whose objects it may see; None for everyone's."""
        return None if self.tenant == NETWORK else self.tenant
