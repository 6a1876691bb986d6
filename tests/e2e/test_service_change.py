"""A service is changed by an order on a running daemon: RADIUS and DHCP know of it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from access_site import pap
from dhcp_packets import DISCOVER, OFFER, agent, message, option
from e2e.daemon_process import NAS, NasSocket, wait_until
from e2e.dhcp_client import NETWORK, RelaySocket, serving
from radius_packets import SECRET

from radius.packet import Code

USER = "sub1@aurora.example"
SERVICES = f"""
{NAS}
[[isp]]
name = "aurora"
realms = ["aurora.example"]
[[pool]]
name = "aurora-harbour"
area = "harbour"
isp = "aurora"
prefixes = ["100.64.0.0/24"]
[[offering]]
name = "home-100"
isp = "aurora"
down_kbps = 100_000
up_kbps = 50_000
excess = "deny"
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 500_000
up_kbps = 50_000
addresses = 2
excess = "deny"
[[line]]
name = "harbour-1"
area = "harbour"
circuit_id = "line-1"
[[service]]
name = "aurora-1"
isp = "aurora"
line = "harbour-1"
user_names = ["{USER}"]
password = "arctangent"
offering = "home-100"
"""
CHANGE = {
    "externalId": "A-1",
    "serviceOrderItem": [
        {
            "id": "1",
            "action": "modify",
            "service": {
                "id": "aurora-1",
                "serviceSpecification": {"name": "home-500"},
            },
        }
    ],
}
XID = 0xBB000002
SECONDS = 30
"""Far more than it takes: what it takes is measured by ``bench.service_change``."""


def test_an_ordered_change_is_effective_in_radius_and_dhcp_without_a_restart(
    tmp_path: Path,
) -> None:
    """The next Access-Accept has the new rate, and the line's second device the second
    address of the new offering."""
    order = tmp_path / "order.json"
    order.write_text(json.dumps(CHANGE))
    second = message(
        DISCOVER,
        option(55, b"\1\3\6") + option(82, agent(b"line-1")),
        xid=XID,
        hardware=b"\2second",
    )
    with (
        serving(tmp_path, NETWORK + SERVICES) as daemon,
        RelaySocket(daemon.dhcp_port) as relay,
        NasSocket(daemon.authentication_port) as nas,
    ):

        def rate() -> int:
            answer = nas.ask(pap(USER, "arctangent", secret=SECRET))
            assert Code.ACCESS_ACCEPT == answer[0]
            # WISPr-Bandwidth-Max-Down, in bit/s.
            at = answer.index(struct.pack("!IBB", 14122, 8, 6)) + 6
            return int.from_bytes(answer[at : at + 4]) // 1000

        def offered() -> bool:
            relay.send(second)
            reply = relay.hear(0.5)
            return reply is not None and (reply.kind, reply.xid) == (OFFER, XID)

        first = relay.ask(relay.discover(1))
        relay.ask(relay.request(1, first.yiaddr))
        assert (100_000, False) == (rate(), offered())
        daemon.run("orders", "place", str(order), "--isp", "aurora")
        wait_until(lambda: rate() == 500_000, SECONDS)
        wait_until(offered, SECONDS)
