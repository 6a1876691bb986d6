"""The demo's addresses: first leases, and a pool that runs out and is helped.

A relay brings lines their leases through the real socket. Then an ISP's small pool
fills up: a block comes from the reserve, the next from another ISP, which calls it
back; in the end all is at home, so the story can be told again on the same files.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from daemon import clock
from daemon.demo_relay import Device, Relay, Reply
from daemon.demo_telling import (
    Rows,
    StoryError,
    expect,
    fairlane,
    say,
    show,
    wait_for,
)
from daemon.preparation import Plan
from ipserver.dhcp import MessageType

_HARBOUR, _QUAY = "127.0.0.1", "127.0.0.2"
_GARDEN_LINE, _SERVED_LINE = "harbour-301", "harbour-102"
_POOL, _LENDER = "aurora-quay", "borealis-quay"
_QUAY_LINES = ("quay-1", "quay-2", "quay-3")
_DEVICES_PER_LINE = 4
_LEAVING = 3

_WHO_HAD = ("address", "line", "hardware", "service", "isp", "pool", "started_at")
_POOLS = ("pool", "owned", "borrowed", "lent", "capacity", "leased", "free",
          "utilisation")  # fmt: skip
_REQUESTS = ("number", "pool", "state", "size", "granted", "raised_by", "reason")
_LOANS = ("number", "addresses", "lender", "borrower", "state", "cause", "outcome")


def tell_leases(plan: Plan) -> None:
    """Bring two lines a lease: one without a service, one with one."""
    say("A relay on loopback brings two lines a lease.")
    relay = Relay(plan, _HARBOUR)
    with relay.connected():
        for number, line, pool in (
            (1, _GARDEN_LINE, "harbour-garden"),
            (2, _SERVED_LINE, "borealis-harbour"),
        ):
            say("", f"{number}. {_described(plan, line)}")
            device = Device(line, _hardware(number))
            relay.lease(device, aloud=True)
            found = _who_had(plan, device)
            say(f"   fairlane who-had {device.address}:")
            show([found], _WHO_HAD)
            expect("the line", found["line"], line)
            expect("the pool", found["pool"], pool)


def _described(plan: Plan, line: str) -> str:
    services = plan.network.service if plan.network else ()
    for service in services:
        if service.line == line:
            return (
                f"Line {line} has a service of {service.isp}, and gets an address of"
                f" that ISP."
            )
    return f"Line {line} has no service, and gets an address of the walled garden."


def _who_had(plan: Plan, device: Device) -> dict[str, Any]:
    """Wait until the ledger has written the lease; give what who-had says of it."""

    def look() -> dict[str, Any] | None:
        live = fairlane(plan, "leases", "--address", device.address, "--state", "live")
        if not live or live[0]["hardware"] != device.hardware.hex(":"):
            return None
        return fairlane(plan, "who-had", device.address)[0]

    return wait_for(f"lease of {device.address}", look)


def _hardware(number: int) -> bytes:
    """A locally administered address (IEEE 802) for the demo's n-th device."""
    return b"\x02demo" + bytes((number,))


class _Quay:
    """The devices behind the relay of the quay; they renew what they have."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.relay = Relay(plan, _QUAY)
        self.devices: list[Device] = []
        self._new = self._waiting()

    def _waiting(self) -> Iterator[Device]:
        for place, line in enumerate(_QUAY_LINES):
            for device in range(_DEVICES_PER_LINE):
                yield Device(line, _hardware(16 * (place + 1) + device))

    def next_up(self) -> tuple[Device, Reply]:
        """Bring the next device up; give it and the OFFER that it got."""
        device = next(self._new, None)
        if device is None:
            raise StoryError("every device has an address, and the pool is not full")
        self.devices.append(device)
        return device, self.relay.lease(device)

    def attend(self) -> None:
        """Renew what is due, as clients do: at T1, and from the start after a NAK."""
        now = clock.monotonic()
        for device in self.devices:
            if device.address and now >= device.ends_at:
                device.drops()
            elif device.address and now >= device.renew_at:
                self.relay.renew(device)
            if not device.address:
                self.relay.lease(device)

    def leave(self, device: Device) -> None:
        """Switch a device off."""
        self.relay.release(device)
        self.devices.remove(device)

    def pool(self, name: str = _POOL) -> dict[str, Any]:
        """What ``fairlane pools`` says of a pool."""
        rows = fairlane(self.plan, "pools")
        return next(row for row in rows if row["pool"] == name)

    def loans(self, *, open_only: bool = False) -> Rows:
        """What ``fairlane loans list`` says of this pool's loans."""
        words = ["--open"] if open_only else []
        found = fairlane(self.plan, "loans", "list", *words)
        return [loan for loan in found if loan["borrower"] == _POOL]

    def look_for(self, what: str, look: Any) -> Any:
        """Wait for something while the devices renew."""

        def attended() -> Any:
            self.attend()
            return look()

        return wait_for(what, attended)


def tell_over_allocation(plan: Plan) -> None:
    """Fill a small pool; have it granted a block, lent another, and give both back."""
    quay = _Quay(plan)
    with quay.relay.connected():
        _tidy(quay)
        before = max((loan["number"] for loan in quay.loans()), default=0)
        say("The ISP aurora has a small pool on the quay, and more and more devices.")
        _fill(quay)
        say("", "1. Devices come up until the pool is full.")
        _pools(quay)
        granted = _grant(quay, before, "2", "quay-reserve", "the reserve grants it")
        _fill(quay)
        say("", "   The granted block fills up as well.")
        _pools(quay)
        lent = _grant(quay, granted, "3", _LENDER, "borealis lends it")
        _recall(quay, lent)
        _return(quay, granted)


def _tidy(quay: _Quay) -> None:
    """Bring home what a story that was broken off has left."""
    left = fairlane(quay.plan, "leases", "--pool", _POOL, "--state", "live")
    for lease in left:
        device = Device(
            lease["line"], bytes.fromhex(lease["hardware"].replace(":", ""))
        )
        device.address = lease["address"]
        quay.relay.release(device)
    for loan in quay.loans(open_only=True):
        if not loan["cause"]:
            _steer(quay, "return", loan["number"], loan["borrower_tenant"])
    if left or quay.loans(open_only=True):
        wait_for("end of the loans left", lambda: not quay.loans(open_only=True))
    _cooled(quay)


def _fill(quay: _Quay) -> None:
    # When it is full a request may be raised at once, and be granted: count before.
    for _ in range(quay.pool()["free"]):
        quay.next_up()


def _pools(quay: _Quay) -> None:
    say("   fairlane pools:")
    show([quay.pool(), quay.pool(_LENDER)], _POOLS)


def _grant(quay: _Quay, before: int, number: str, source: str, means: str) -> int:
    """See what a full pool leads to, and bring a device up; give the new loan's number.

    The request comes by itself, with the next look at the pool's marks.
    """
    loan: dict[str, Any] = quay.look_for(
        "loan", lambda: _first(quay.loans(), lambda each: each["number"] > before)
    )
    request = quay.look_for(
        "fulfilled request", lambda: _request(quay, loan["request"])
    )
    quay.look_for("free address", lambda: quay.pool()["free"])
    device, offer = quay.next_up()
    say(
        "",
        f"{number}. It is full, so a request is raised by itself, and {means}.",
        "   fairlane overallocation list:",
    )
    show([request], _REQUESTS)
    say("   fairlane loans list:")
    show([loan], _LOANS)
    say(
        f"   The next device's DHCPDISCOVER is answered after {offer.milliseconds:.1f}"
        f" ms, with {device.address} of that block."
    )
    expect("the lender", loan["lender"], source)
    network = [ipaddress.ip_network(p) for p in loan["addresses"].split(",")]
    inside = any(ipaddress.ip_address(device.address) in p for p in network)
    expect("that the address is of the block", inside, True)
    return int(loan["number"])


def _request(quay: _Quay, number: int) -> dict[str, Any] | None:
    found = fairlane(quay.plan, "overallocation", "list", "--pool", _POOL)
    return _first(found, lambda r: r["number"] == number and r["state"] == "fulfilled")


def _recall(quay: _Quay, number: int) -> None:
    """Have the lender call its block back, and see the device move."""
    device = quay.devices[-1]
    for other in quay.devices[:_LEAVING]:
        quay.leave(other)
    _cooled(quay)
    _steer(quay, "recall", number, "borealis")
    renewed = quay.relay.renew(device)
    say(
        "",
        f"4. borealis wants its block back: fairlane loans recall {number} --isp"
        " borealis",
        f"   {_LEAVING} other devices of aurora have left meanwhile, so there is room.",
    )
    lent = device.address
    if renewed.kind is MessageType.ACK:
        say(
            f"   The device with {lent} asks for more time, and gets what is left of"
            f" its lease: {renewed.seconds} s.",
        )
    loan = quay.look_for("return of the block", lambda: _home(quay, number))
    say(
        f"   When it ends it asks anew, and gets {device.address}. The block is empty,"
        " rests, and goes home.",
    )
    show([loan], _LOANS)
    expect("the outcome", loan["outcome"], "returned")
    expect("that the device has moved", device.address != lent, True)


def _return(quay: _Quay, number: int) -> None:
    """Let the devices leave, and give the reserve its block back."""
    for device in list(quay.devices):
        quay.leave(device)
    _cooled(quay)
    _steer(quay, "return", number, "aurora")
    loan = quay.look_for("return of the block", lambda: _home(quay, number))
    say(
        "",
        "5. The devices leave, and aurora gives the reserve its block back:",
        f"   fairlane loans return {number} --isp aurora",
    )
    show([loan], _LOANS)
    _pools(quay)
    expect("what is lent", quay.pool()["borrowed"] + quay.pool(_LENDER)["lent"], 0)


def _cooled(quay: _Quay) -> None:
    """Wait until what was given up is free: until then it counts as used."""
    quay.look_for("rest", lambda: not quay.pool()["cooling"])


def _steer(quay: _Quay, word: str, number: int, isp: str) -> None:
    fairlane(quay.plan, "loans", word, str(number), "--isp", isp)


def _home(quay: _Quay, number: int) -> dict[str, Any] | None:
    return _first(
        quay.loans(), lambda loan: loan["number"] == number and loan["outcome"]
    )


def _first(
    rows: Rows, wanted: Callable[[dict[str, Any]], object]
) -> dict[str, Any] | None:
    return next((row for row in rows if wanted(row)), None)
