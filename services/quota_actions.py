"""Quota events carried out: what is used up is throttled, shut off or bought again.

What a service may not have is a restriction in the change feed, so that sessions that
begin are what they should be; those that run get a CoA request, or are ended where a
CoA cannot change them. All of it is in one transaction with the word that it was done.
The ledger looks in the next usage for the effect; what does not show is done again, by
ending the session, until ``TRIES`` are used up. A restriction ends with its period, and
when the service gets an offering whose allowance it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

import msgspec
from sqlalchemy import Connection

from config.network import Network
from config.offers import Service
from config.restrictions import KIND, Restriction
from rating.quota import Action, Effect, Kind
from rating.tariff import CompiledTariff
from services import coa
from services.standing_quotas import wanted
from services.topups import buy
from storage import network as feed
from storage.quota_events import NumberedQuotaEvent, acted

TRIES: Final = 3
_BY: Final = "quota"


class QuotaActions:
    """Carries events out on one network; make a new one when the network changes.

    ``class_key`` tells our Class attributes from others (``storage.keys``).
    """

    def __init__(self, network: Network, class_key: bytes) -> None:
        self._network = network
        self._class_key = class_key
        self._services = {service.name: service for service in network.service}
        self._offerings = {offering.name: offering for offering in network.offering}
        self._shared = {
            tariff.name
            for tariff in network.tariff
            if any(a.shared for version in tariff.version for a in version.allowance)
        }

    def carry_out(
        self, connection: Connection, numbered: NumberedQuotaEvent, now: int
    ) -> Effect | None:
        """Do what an event asks for, in the caller's transaction; give the effect where
        it is known at once, None where the next usage will tell."""
        number, event = numbered.number, numbered.event
        found = self._DO[event.action](self, connection, numbered, now)
        acted(connection, number, now, found)
        return found

    def _restrict(
        self, connection: Connection, numbered: NumberedQuotaEvent, now: int
    ) -> Effect | None:
        event, services = numbered.event, self._holders(numbered)
        until = self._until(numbered)
        asks = wanted(connection, self._network, event) if until > now else None
        if asks is None:
            if event.kind is Kind.RESTORED:
                for service in services:
                    self.lift(connection, service.name, now)
            return Effect.NOT_VISIBLE  # there is nothing to keep anybody from
        for service in services:
            body = _restriction(connection, service.name)
            if numbered.tries:
                if body is not None and body["event"] == numbered.number:
                    self._end(connection, service, now)
                continue
            restriction = Restriction(
                name=service.name,
                isp=service.isp,
                action=asks.action.value,  # type: ignore[arg-type]
                down_kbps=asks.down_kbps,
                up_kbps=asks.up_kbps,
                until=until,
                tariff=event.tariff,
                event=numbered.number,
            )
            made = msgspec.to_builtins(restriction)
            if body is not None and made | {"event": body["event"]} == body:
                continue  # who asked for it before sees to it
            change = feed.Change(
                "add" if body is None else "modify", KIND, service.name, made
            )
            feed.apply(connection, [change], now)
            is_shut = body is not None and body["action"] != Action.THROTTLE
            if asks.action is Action.THROTTLE and not is_shut:
                self._shape(connection, service, asks.up_kbps, asks.down_kbps, now)
            else:
                self._end(connection, service, now)
        own = event.action, event.down_kbps, event.up_kbps
        is_seen = services and event.kind is not Kind.RESTORED and asks == own
        return None if is_seen else Effect.NOT_VISIBLE

    def _buy(
        self, connection: Connection, numbered: NumberedQuotaEvent, now: int
    ) -> Effect | None:
        event = numbered.event
        if event.kind is Kind.RESTORED or event.topup is None:
            return Effect.NOT_VISIBLE
        if all(one.name != event.service for one in self._holders(numbered)):
            return Effect.NOT_VISIBLE
        bought = buy(
            connection,
            self._network,
            event.service,
            event.topup,
            at=event.at - 1,  # an end of use may be the beginning of a period
            now=now,
            at_most=self._most(numbered),
            until_some_is_left=True,  # one record may have used several of them
        )
        return Effect.CONFIRMED if bought else Effect.FAILED

    _DO: Final[dict[Action, Callable[..., Effect | None]]] = {
        Action.THROTTLE: _restrict,
        Action.WALLED_GARDEN: _restrict,
        Action.BLOCK: _restrict,
        Action.BUY: _buy,
    }

    def lift(self, connection: Connection, name: str, now: int) -> None:
        """Give a service back what it has, if it is restricted."""
        body = _restriction(connection, name)
        if body is None:
            return
        feed.apply(connection, [feed.Change("delete", KIND, name, None)], now)
        service = self._services.get(name)
        if service is None:
            return
        if body["action"] == Action.THROTTLE:
            self._shape(connection, service, None, None, now)
        else:
            self._end(connection, service, now)

    def lift_ended(self, connection: Connection, now: int) -> int:
        """Lift what a new period, or an offering with another tariff, has made void;
        give how many services."""
        ended = [
            name
            for name, body in feed.objects_of(connection, KIND).items()
            if body["until"] <= now or self._has_other_tariff(name, body.get("tariff"))
        ]
        for name in ended:
            self.lift(connection, name, now)
        return len(ended)

    def _has_other_tariff(self, name: str, tariff: object) -> bool:
        service = self._services.get(name)
        if service is None or tariff is None:
            return False
        return self._offerings[service.offering].tariff != tariff

    def _holders(self, numbered: NumberedQuotaEvent) -> list[Service]:
        """Give the services whose allowance it is now: use that comes late may have
        been of another one, which a service had before."""
        event = numbered.event
        what, _, name = event.holder.partition("/")
        services = self._network.service
        if what != "account":
            own = self._services.get(event.service)
            services = () if own is None else (own,)
        return [
            service
            for service in services
            if service.isp == event.tenant
            and self._offerings[service.offering].tariff == event.tariff
            and (service.account if event.tariff in self._shared else None)
            == (name if what == "account" else None)
        ]

    def _until(self, numbered: NumberedQuotaEvent) -> int:
        event = numbered.event
        config = next((t for t in self._network.tariff if t.name == event.tariff), None)
        if config is None:
            return 0
        tariff = CompiledTariff(config)
        return tariff.calendar.midnight(
            tariff.cut_of(date.fromisoformat(event.period)).next
        )

    def _most(self, numbered: NumberedQuotaEvent) -> int:
        event = numbered.event
        return next(
            (
                quota.most_topups
                for tariff in self._network.tariff
                for version in tariff.version
                for quota in version.quota
                if (tariff.name, version.valid_from, quota.name)
                == (event.tariff, event.version, event.quota)
            ),
            0,
        )

    def _shape(
        self,
        connection: Connection,
        service: Service,
        up_kbps: int | None,
        down_kbps: int | None,
        now: int,
    ) -> None:
        """Tell the sessions the lower of their own speeds and these."""
        offering = self._offerings[service.offering]
        up = service.up_kbps or offering.up_kbps
        down = service.down_kbps or offering.down_kbps
        coa.request_coa(
            connection,
            tenant=service.isp,
            service=service.name,
            requested_by=_BY,
            class_key=self._class_key,
            now=now,
            rates=(min(up, up_kbps or up), min(down, down_kbps or down)),
        )

    def _end(self, connection: Connection, service: Service, now: int) -> None:
        """End the sessions: those that follow are what the service may have."""
        coa.request_disconnect(
            connection,
            tenant=service.isp,
            service=service.name,
            requested_by=_BY,
            class_key=self._class_key,
            now=now,
        )


def _restriction(connection: Connection, name: str) -> dict[str, object] | None:
    return feed.objects_of(connection, KIND, name).get(name)
