"""Who pays by which tariff: the network's services, each with its two meters.

A service's retail tariff is its offering's, and its use is added up for the service, or
for its account where the tariff shares an allowance. The wholesale tariff is its ISP's,
and all services of the ISP are added up together, so that tiers are for the ISP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from config.network import Network
from rating.balance import Balance, BalanceKey
from rating.rates import DirectRate
from rating.tariff import CompiledTariff
from rating.taxes import changes_of

STATE_MARK: Final = "\t"
"""Behind it in a service's name is which of its earlier states is meant; no name that
is given has it. Their use is added up together."""


class Meter:
    """One holder's use under one tariff, and where time and balance stand now.

    From ``start`` to ``end`` use goes to ``slot`` of ``balance``, whose rates are
    ``direct``: nearly every record needs to look no further. ``only`` is the one there
    is of them, where no sample is taken of the use either.
    """

    __slots__ = (
        "balance",
        "base",
        "direct",
        "end",
        "holder",
        "most",
        "only",
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
        self.only: DirectRate | None = None
        self.sampled = tariff.sampled
        self.most = tariff.most_octets

    def key(self, version: str, period: str) -> BalanceKey:
        """Give the key of this holder's balance of a version's period."""
        return BalanceKey(self.tenant, self.holder, self.tariff.name, version, period)

    def point_at(self, direct: tuple[DirectRate, ...] | None) -> None:
        """Take the rates of the slot; None where the balance has to be settled."""
        self.direct, self.only = direct, None
        if direct is not None and len(direct) == 1 and not self.sampled:
            self.only = direct[0]

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


class Plans(dict[str, Plan]):
    """The plan of every service of a network, by its name."""

    def __init__(self, network: Network, tariffs: Mapping[str, CompiledTariff]) -> None:
        super().__init__()
        self._tariffs = tariffs
        self._offerings: dict[str, CompiledTariff | None] = {}
        self._wholesale: dict[str, Meter] = {}
        self._accounts: dict[tuple[str, str, str], Meter] = {}
        self.add(network)

    def add(self, network: Network) -> None:
        """Add ISPs, offerings and services, whose tariffs are there."""
        tariffs, offerings = self._tariffs, self._offerings
        for offering in network.offering:
            name = offering.tariff
            offerings[offering.name] = None if name is None else tariffs[name]
        wholesale, accounts = self._wholesale, self._accounts
        for isp in network.isp:
            if isp.wholesale is not None:
                tariff = tariffs[isp.wholesale]
                wholesale[isp.name] = Meter(isp.name, f"isp/{isp.name}", tariff)
        for service in network.service:
            own, isp_name, account = service.name, service.isp, service.account
            by, retail = offerings[service.offering], None
            if by is not None and account is not None and by.shared:
                key = (isp_name, account, by.name)
                retail = accounts.get(key)
                if retail is None:
                    retail = Meter(isp_name, f"account/{account}", by)
                    accounts[key] = retail
            elif by is not None:
                retail = Meter(isp_name, f"service/{name_of(own)}", by)
            self[own] = Plan(own, isp_name, retail, wholesale.get(isp_name))


def name_of(state: str) -> str:
    """Give the name of the service that this is a state of, or that it is."""
    return state.partition(STATE_MARK)[0]


def compiled(
    network: Network, known: Mapping[str, CompiledTariff]
) -> dict[str, CompiledTariff]:
    """Compile a network's tariffs by their names; those that are as they were known
    are the same."""
    found = {}
    for config in network.tariff:
        changes = tuple(changes_of(network.tax, config.tax_class, config.zone))
        tariff = known.get(config.name)
        if tariff is None or tariff.config != config or tariff.tax_changes != changes:
            tariff = CompiledTariff(config, changes)
        found[config.name] = tariff
    return found
