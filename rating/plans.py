"""Who pays by which tariff: the network's services, each with its two meters.

A service's retail tariff is its offering's, and its use is added up for the service, or
for its account where the tariff shares an allowance. The wholesale tariff is its ISP's,
and all services of the ISP are added up together, so that tiers are for the ISP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from config.network import Network
from rating.balance import Balance
from rating.rates import DirectRate
from rating.tariff import CompiledTariff

STATE_MARK: Final = "\t"
"""Behind it in a service's name is which of its earlier states is meant; no name that
is given has it. Their use is added up together."""


class Meter:
    """One holder's use under one tariff, and where time and balance stand now.

    From ``start`` to ``end`` use goes to ``slot`` of ``balance``, whose rates are
    ``direct``: nearly every record needs to look no further.
    """

    __slots__ = (
        "balance",
        "base",
        "direct",
        "end",
        "holder",
        "sampled",
        "slot",
        "start",
        "tariff",
        "tenant",
    )

    def __init__(self, tenant: str, holder: str, tariff: CompiledTariff) -> None:
        self.tenant = tenant
        self.holder = holder
        self.tariff = tariff
        self.start = self.end = 0
        self.balance: Balance | None = None
        self.slot = self.base = 0
        self.direct: tuple[DirectRate, ...] | None = None
        self.sampled = any(v.config.percentile for v in tariff.versions)

    def forget(self) -> None:
        """Look the balance up again at the next record."""
        self.start = self.end = 0
        self.balance = None


class Plan(NamedTuple):
    """How a service's use is rated; None where nobody charges for it."""

    service: str
    isp: str
    retail: Meter | None
    wholesale: Meter | None

    def within(self, zones: frozenset[str]) -> Plan:
        """Give the plan with the tariffs of some zones alone."""
        both = (
            None if meter is None or meter.tariff.config.zone not in zones else meter
            for meter in (self.retail, self.wholesale)
        )
        return Plan(self.service, self.isp, *both)


def plans_of(
    network: Network, tariffs: Mapping[str, CompiledTariff]
) -> dict[str, Plan]:
    """Make the plan of every service of the network, by its name."""
    offerings = {offering.name: offering.tariff for offering in network.offering}
    wholesale = {
        isp.name: Meter(isp.name, f"isp/{isp.name}", tariffs[isp.wholesale])
        for isp in network.isp
        if isp.wholesale is not None
    }
    accounts: dict[tuple[str, str, str], Meter] = {}
    plans = {}
    for service in network.service:
        name = offerings[service.offering]
        retail = None
        if name is not None:
            tariff = tariffs[name]
            shared = any(version.shared for version in tariff.versions)
            if shared and service.account is not None:
                key = (service.isp, service.account, name)
                retail = accounts.get(key)
                if retail is None:
                    retail = Meter(service.isp, f"account/{service.account}", tariff)
                    accounts[key] = retail
            else:
                holder = f"service/{service.name.partition(STATE_MARK)[0]}"
                retail = Meter(service.isp, holder, tariff)
        meter = wholesale.get(service.isp)
        plans[service.name] = Plan(service.name, service.isp, retail, meter)
    return plans
