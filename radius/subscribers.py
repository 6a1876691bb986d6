"""Who may have access: the services of the network, found by user, line or device.

The network's objects are kept as they come from the change feed, with three small
indexes; what a request needs of a service is compiled when it is first asked for and
forgotten when the network changes. So a change costs what it changes, however many
services there are, and is effective with the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from config import restrictions
from config.plant import Profile
from radius.mac_address import mac_address
from radius.profiles import Grant, Rates, grant_attributes

Key = tuple[str, str]
Body = Mapping[str, Any]


class Subscriber:
    """A service as access sees it; ``nt_hash`` and ``replies`` are filled when used."""

    __slots__ = (
        "active",
        "blocked",
        "grant",
        "isp",
        "lines",
        "mac_addresses",
        "name",
        "nt_hash",
        "octets",
        "password",
        "password_hash",
        "replies",
        "simultaneous_use",
    )

    def __init__(
        self,
        body: Body,
        grant: Grant,
        limit: int | None,
        password: bytes | None,
        restricted: str = "",
    ) -> None:
        self.name: str = body["name"]
        self.octets = self.name.encode()
        self.isp: str = body["isp"]
        self.lines = _lines(body)
        self.blocked = restricted == "block"
        shut = restricted in ("block", "walled_garden")
        self.active = body.get("state", "active") == "active" and not shut
        self.mac_addresses = frozenset(body.get("mac_addresses", ()))
        self.password = password
        self.password_hash: str | None = body.get("password_hash")
        self.simultaneous_use = limit
        self.grant = grant
        self.nt_hash: bytes | None = None
        self.replies: dict[Profile, bytes] = {}

    @property
    def has_credential(self) -> bool:
        """Whether its password can be checked here."""
        return self.password is not None or self.password_hash is not None

    def reply(self, profile: Profile) -> bytes:
        """Give the attributes of its Access-Accepts at a NAS of this profile."""
        attributes = self.replies.get(profile)
        if attributes is None:
            attributes = self.replies[profile] = grant_attributes(profile, self.grant)
        return attributes


def _lines(body: Body) -> tuple[str, ...]:
    """Give the lines that a service may log in from: two while it moves."""
    former = body.get("former_line")
    return (body["line"], former) if former else (body["line"],)


Unseal = Callable[[str, str, str], bytes | None]
"""Opens a sealed password: ISP, service, what is stored; None when it cannot."""


class Subscribers:
    """All services of the network; changed in place, asked by the packet path.

    ``interim_seconds`` is the Acct-Interim-Interval that NAS are told.
    """

    def __init__(self, *, unseal: Unseal, interim_seconds: int) -> None:
        self._unseal = unseal
        self._interim_seconds = interim_seconds
        self._objects: dict[str, dict[str, Body]] = {}
        self._by_user: dict[str, str] = {}
        self._by_circuit: dict[tuple[str, str], str] = {}
        self._by_line: dict[str, set[str]] = {}
        self._by_mac: dict[str, set[str]] = {}
        self._realms: dict[str, str] = {}
        self._compiled: dict[str, Subscriber | None] = {}

    def replace(self, objects: Mapping[Key, Body]) -> None:
        """Take a whole network in the place of the one before."""
        self._objects.clear()
        for index in (self._by_user, self._by_circuit, self._by_line, self._by_mac):
            index.clear()
        for (kind, name), body in objects.items():
            self._add(kind, name, body)
        self._changed()

    def change(self, changes: Iterable[tuple[str, str, Body | None]]) -> None:
        """Take changed objects: kind, name and body, None for one that is gone."""
        for kind, name, body in changes:
            self._remove(kind, name)
            if body is not None:
                self._add(kind, name, body)
        self._changed()

    def _changed(self) -> None:
        self._compiled.clear()
        self._realms = {
            realm.casefold(): name
            for name, isp in self._objects.get("isp", {}).items()
            for realm in isp.get("realms", ())
        }

    def _add(self, kind: str, name: str, body: Body) -> None:
        self._objects.setdefault(kind, {})[name] = body
        if kind == "service":
            for user in body.get("user_names", ()):
                self._by_user[user.casefold()] = name
            for line in _lines(body):
                self._by_line.setdefault(line, set()).add(name)
            for mac in body.get("mac_addresses", ()):
                self._by_mac.setdefault(mac, set()).add(name)
        elif kind == "line" and body.get("circuit_id"):
            self._by_circuit[body["area"], body["circuit_id"]] = name

    def _remove(self, kind: str, name: str) -> None:
        body = self._objects.get(kind, {}).pop(name, None)
        if body is None:
            return
        if kind == "service":
            for user in body.get("user_names", ()):
                if self._by_user.get(user.casefold()) == name:
                    del self._by_user[user.casefold()]
            for line in _lines(body):
                self._discard(self._by_line, line, name)
            for mac in body.get("mac_addresses", ()):
                self._discard(self._by_mac, mac, name)
        elif kind == "line":
            key = body["area"], body.get("circuit_id", "")
            if self._by_circuit.get(key) == name:
                del self._by_circuit[key]

    @staticmethod
    def _discard(index: dict[str, set[str]], key: str, name: str) -> None:
        names = index.get(key, set())
        names.discard(name)
        if not names:
            index.pop(key, None)

    # --- what the packet path asks ---------------------------------------------

    def of_user(self, user: str) -> Subscriber | None:
        """Find the service of a User-Name, in any letter case."""
        name = self._by_user.get(user.casefold())
        return None if name is None else self._subscriber(name)

    def of_name(self, name: str) -> Subscriber | None:
        """Find a service by its own name."""
        known = self._objects.get("service", {})
        return self._subscriber(name) if name in known else None

    def isp_of_realm(self, user: str) -> Body | None:
        """Find the ISP whose realm a User-Name ends with (RFC 7542 section 2.2)."""
        realm = user.rpartition("@")[2]
        name = self._realms.get(realm.casefold()) if "@" in user else None
        return None if name is None else self._objects["isp"][name]

    def line_of(self, area: str, circuit: str) -> str | None:
        """Find the line of a circuit; a NAS of no area serves all of them."""
        if area:
            return self._by_circuit.get((area, circuit))
        areas = self._objects.get("area", {})
        found = {self._by_circuit.get((name, circuit)) for name in areas} - {None}
        return found.pop() if len(found) == 1 else None

    def of_line(self, line: str, device: str) -> Subscriber | None:
        """Find the service of a line, or of a device.

        Of several, the one that names the device, else one that has no user names, for
        those with user names log in by them; by name, so that it is the same each time.
        """
        mac = mac_address(device)
        named = self._by_mac.get(mac, set()) if mac else set()
        here = self._by_line.get(line, set())
        for names in (here & named, {n for n in here if not self._users_of(n)}):
            for name in sorted(names):
                found = self._subscriber(name)
                if found is not None and (
                    not found.mac_addresses or mac in found.mac_addresses
                ):
                    return found
        return None

    def of_device(self, device: str) -> Subscriber | None:
        """Find the one service that names a MAC address, wherever it shows up."""
        mac = mac_address(device)
        names = self._by_mac.get(mac, set()) if mac else set()
        return self._subscriber(next(iter(names))) if len(names) == 1 else None

    def _users_of(self, name: str) -> tuple[str, ...]:
        return tuple(self._objects["service"][name].get("user_names", ()))

    def garden_of(self, area: str) -> str | None:
        """Name the walled-garden pool of an area."""
        for name, pool in sorted(self._objects.get("pool", {}).items()):
            if pool.get("walled_garden") and (not area or pool["area"] == area):
                return name
        return None

    # --- compiling --------------------------------------------------------------

    def _subscriber(self, name: str) -> Subscriber | None:
        if name not in self._compiled:
            body = self._objects["service"].get(name)
            self._compiled[name] = None if body is None else self._compile(body)
        return self._compiled[name]

    def _compile(self, body: Body) -> Subscriber:
        offering = self._objects.get("offering", {}).get(body["offering"], {})

        def said(key: str) -> Any:
            return body.get(key, offering.get(key))

        up, down = said("up_kbps"), said("down_kbps")
        restriction = self._objects.get(restrictions.KIND, {}).get(body["name"], {})
        if up and down:
            up = min(up, restriction.get("up_kbps") or up)
            down = min(down, restriction.get("down_kbps") or down)
        grant = Grant(
            rates=Rates(up, down) if up and down else None,
            pool=body.get("pool") or self._pool_of(body["isp"], body["line"]),
            framed_ip_address=body.get("framed_ip_address"),
            framed_ipv6_prefix=body.get("framed_ipv6_prefix"),
            delegated_ipv6_prefix=body.get("delegated_ipv6_prefix"),
            session_timeout=said("session_timeout_seconds"),
            interim_seconds=self._interim_seconds,
        )
        limit, restricted = said("simultaneous_use"), restriction.get("action", "")
        return Subscriber(body, grant, limit, self._password(body), restricted)

    def _password(self, body: Body) -> bytes | None:
        if "password" in body:
            written: str = body["password"]
            return written.encode()
        sealed = body.get("password_sealed")
        return sealed and self._unseal(body["isp"], body["name"], sealed)

    def _pool_of(self, isp: str, line: str) -> str | None:
        area = self._objects.get("line", {}).get(line, {}).get("area")
        pools = self._objects.get("pool", {})
        return min(
            (
                name
                for name, pool in pools.items()
                if pool.get("isp") == isp and pool["area"] == area
            ),
            default=None,
        )
