"""Whether an order's items can be carried out, and what exactly each one wants.

The same rules on every channel: they see the order's body, the ISP that it belongs to,
and the network of their transaction. Whether there is room is not decided here but by
qualification, whose rules an order is held against again when it names no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from config.offers import Service
from provisioning.appointment import Appointment
from provisioning.inventory import Inventory
from provisioning.order_body import ItemBody, OrderBody
from provisioning.order_states import Action
from provisioning.refusal import Refusal


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one item wants, with everything that its tasks need; no secret in clear.

    ``replaces`` is the other ISP's service on the line, in a change of ISP.
    """

    action: Action
    isp: str
    service: str
    offering: str | None = None
    line: str | None = None
    site: str | None = None
    user_name: str | None = None
    password_sealed: str | None = None
    mac_address: str | None = None
    customer: str | None = None
    device: str | None = None
    qualification: str | None = None
    replaces: str | None = None
    appointment: Appointment | None = None
    moves_from: str | None = None
    """The line that a service moves away from, in a move."""


class Known(NamedTuple):
    """What the database and the keys know beyond the network.

    ``busy`` has what open orders are about, by kind and name (``line``, ``site``,
    ``service``, ``user_name``), and the order's id; ``sites`` the sites that there
    are; ``free_name`` gives a service's name that nobody had, ``seal`` enciphers a
    password for an ISP's service, and ``line_of_token`` opens a line token.
    """

    busy: Mapping[tuple[str, str], str]
    sites: frozenset[str]
    free_name: Callable[[str], str]
    seal: Callable[[str, str, str], str]
    line_of_token: Callable[[str], str | None]


Assessed = Wanted | list[Refusal]


def assess(
    order: OrderBody, isp: str, inventory: Inventory, known: Known
) -> dict[int, Assessed]:
    """Assess the items that can be; one that relies on a bad one is left out."""
    found: dict[int, Assessed] = {}
    mine: dict[tuple[str, str], str] = {}
    left = list(order.items)
    while left:
        ready = [i for i in left if all(n in found for n in i.relies_on)]
        ready = [i for i in ready if not any(_bad(found[n]) for n in i.relies_on)]
        if not ready:
            break
        for item in ready:
            assessed = _ACTIONS[item.action](_Case(item, isp, inventory, known, mine))
            found[item.number] = assessed
            left.remove(item)
            if isinstance(assessed, Wanted):
                mine |= dict.fromkeys(claims(assessed), "this order")
    return found


def unproven(order: OrderBody) -> list[Refusal]:
    """Say what client software may not order: whoever has the program could send it, so
    it makes new services alone, on the line that its own connection proves."""
    found = []
    for item in order.items:
        if item.action is not Action.ADD:
            where, reason = f"{item.pointer}/action", "client software adds services"
            found.append(Refusal("action_not_allowed", where, reason))
        elif set(item.places) != {"connection"}:
            where, reason = f"{item.pointer}/service/place", "name the line token"
            found.append(Refusal("place_not_proven", where, reason))
    return found


def _bad(assessed: Assessed) -> bool:
    return not isinstance(assessed, Wanted)


def claims(wanted: Wanted) -> list[tuple[str, str]]:
    """List what nobody else may order about while an item is open."""
    named = {
        "line": wanted.line,
        "site": wanted.site,
        "service": wanted.service,
        "user_name": wanted.user_name,
    }
    return [(kind, name) for kind, name in named.items() if name]


class _Case(NamedTuple):
    item: ItemBody
    isp: str
    inventory: Inventory
    known: Known
    mine: Mapping[tuple[str, str], str]

    def refuse(self, code: str, where: str, reason: str) -> list[Refusal]:
        return [Refusal(code, self.item.pointer + where, reason)]

    def busy(self, kind: str, name: str | None) -> str | None:
        key = kind, name or ""
        return self.known.busy.get(key) or self.mine.get(key)


_SERVICE: Final = "/service"


def _add(case: _Case) -> Assessed:
    line, site = _place(case)
    refusals = _of_place(case, line, site)
    refusals += _of_offering(case)
    refusals += _of_identity(case, None)
    if refusals:
        return refusals
    said = case.item.characteristics
    replaced = None
    if line is not None:
        on_line = case.inventory.services_on(line)
        replaced = next((one.name for one in on_line if one.isp != case.isp), None)
        if any(one.isp == case.isp for one in on_line):
            reason = "your service is on this line: modify it"
            return case.refuse("own_service", f"{_SERVICE}/place", reason)
        if case.busy("service", replaced):
            reason = "another order is under way"
            return case.refuse("line_has_open_order", f"{_SERVICE}/place", reason)
    start = name_start(case.isp, line or site or "")
    name = case.item.service or case.known.free_name(start)
    if case.inventory.service.get(name) or case.busy("service", name):
        reason = f"there is a service called {name!r}"
        return case.refuse("service_exists", f"{_SERVICE}/name", reason)
    return Wanted(
        action=Action.ADD,
        isp=case.isp,
        service=name,
        offering=case.item.offering,
        line=line,
        site=site,
        user_name=said.get("userName"),
        password_sealed=_sealed(case, name),
        mac_address=said.get("macAddress"),
        customer=said.get("customer"),
        device=said.get("device"),
        qualification=said.get("qualificationId"),
        appointment=case.item.appointment,
        replaces=replaced,
    )


def name_start(isp: str, place: str) -> str:
    """Say how a service is called that is given no name; a number may follow."""
    return f"{isp}-{place}"


def _sealed(case: _Case, service: str) -> str | None:
    password = case.item.characteristics.get("password")
    return case.known.seal(case.isp, service, password) if password else None


def _place(case: _Case) -> tuple[str | None, str | None]:
    """Give the line, where there is one, and the site, where it was named."""
    places = case.item.places
    if "site" in places:
        line = case.inventory.line_at(places["site"])
        return (line.name if line else None), places["site"]
    if "connection" in places:
        return case.known.line_of_token(places["connection"]), None
    return places.get("line"), None


def _of_place(case: _Case, line: str | None, site: str | None) -> list[Refusal]:
    where = f"{_SERVICE}/place"
    if not case.item.places:
        return case.refuse("place_missing", where, "name the line or the site")
    if site is not None and site not in case.known.sites:
        return case.refuse("unknown_place", where, f"there is no site {site!r}")
    if site is None and (line is None or line not in case.inventory.line):
        if "connection" in case.item.places:
            reason = "the line token is not good, or no longer"
            return case.refuse("invalid_line_token", where, reason)
        return case.refuse("unknown_place", where, f"there is no line {line!r}")
    if case.busy("line", line) or (line is None and case.busy("site", site)):
        return case.refuse("line_has_open_order", where, "another order is under way")
    return []


def _of_offering(case: _Case) -> list[Refusal]:
    name, where = case.item.offering, f"{_SERVICE}/serviceSpecification/name"
    if name is None:
        return case.refuse("offering_missing", where, "name the offering")
    offering = case.inventory.offering.get(name)
    if offering is None or offering.isp != case.isp:
        # Another ISP's offerings are no business of this one's.
        return case.refuse("unknown_offering", where, f"you have no offering {name!r}")
    if offering.device and not case.item.characteristics.get("device"):
        where = f"{_SERVICE}/serviceCharacteristic"
        return case.refuse("device_missing", where, f"{name!r} comes with a device")
    return []


def _of_identity(case: _Case, own: str | None) -> list[Refusal]:
    """Hold the user name against the ISP's realms and everyone else's user names."""
    where = f"{_SERVICE}/serviceCharacteristic"
    user = case.item.characteristics.get("userName")
    if user is None:
        if case.item.characteristics.get("password") and own is None:
            return case.refuse("user_name_missing", where, "a password is a user's")
        return []
    realms = {realm.casefold() for realm in case.inventory.isp[case.isp].realms}
    realm = user.rpartition("@")[2].casefold() if "@" in user else ""
    if realms and realm not in realms:
        reason = f"the realm of {user!r} is none of yours"
        return case.refuse("foreign_realm", where, reason)
    holder = case.inventory.service_of_user(user)
    if holder is not None and holder.name != own:
        return case.refuse("user_name_taken", where, f"{user!r} has a service")
    busy = case.busy("user_name", user)
    if busy:
        return case.refuse("user_name_taken", where, f"{user!r} is in another order")
    return []


def _existing(case: _Case) -> Service | list[Refusal]:
    name, where = case.item.service, f"{_SERVICE}/id"
    if name is None:
        return case.refuse("service_missing", where, "name the service")
    service = case.inventory.service.get(name)
    if service is None or service.isp != case.isp:
        return case.refuse("unknown_service", where, f"you have no service {name!r}")
    if case.busy("service", name) or case.busy("line", service.line):
        return case.refuse("line_has_open_order", where, "another order is under way")
    return service


def _of_move(case: _Case, line: str | None, site: str | None) -> list[Refusal]:
    """Hold the place that a service moves to against what is there."""
    refusals = _of_place(case, line, site)
    if not refusals and line is not None and case.inventory.services_on(line):
        reason = "there is a service on that line, which has to end first"
        return case.refuse("line_taken", f"{_SERVICE}/place", reason)
    return refusals


def _modify(case: _Case) -> Assessed:
    service = _existing(case)
    if isinstance(service, list):
        return service
    line, site = _place(case) if case.item.places else (service.line, None)
    moves = line != service.line
    refusals = _of_move(case, line, site) if moves else []
    refusals += _of_offering(case) if case.item.offering else []
    refusals += _of_identity(case, service.name)
    if refusals:
        return refusals
    said = case.item.characteristics
    return Wanted(
        action=Action.MODIFY,
        isp=case.isp,
        service=service.name,
        # What moves is qualified where it goes, whatever it is.
        offering=case.item.offering or (service.offering if moves else None),
        line=line,
        site=site if moves else None,
        moves_from=service.line if moves else None,
        user_name=said.get("userName"),
        password_sealed=_sealed(case, service.name),
        mac_address=said.get("macAddress"),
        customer=said.get("customer"),
        device=said.get("device"),
        qualification=said.get("qualificationId"),
        appointment=case.item.appointment,
    )


def _delete(case: _Case) -> Assessed:
    service = _existing(case)
    if isinstance(service, list):
        return service
    return Wanted(
        action=Action.DELETE,
        isp=case.isp,
        service=service.name,
        line=service.line,
        appointment=case.item.appointment,
    )


def _no_change(case: _Case) -> Assessed:
    service = _existing(case)
    if isinstance(service, list):
        return service
    return Wanted(action=Action.NO_CHANGE, isp=case.isp, service=service.name)


_ACTIONS: Final[dict[Action, Callable[[_Case], Assessed]]] = {
    Action.ADD: _add,
    Action.MODIFY: _modify,
    Action.DELETE: _delete,
    Action.NO_CHANGE: _no_change,
}
