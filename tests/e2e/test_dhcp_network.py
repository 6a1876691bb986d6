"""The network changes under a running address server: what is new is leased from."""

from __future__ import annotations

from pathlib import Path

from dhcp_packets import OFFER
from e2e.daemon_process import wait_until
from e2e.dhcp_client import NETWORK, RelaySocket, serving

BEFORE = '[[area]]\nname = "harbour"\n'

WITH_SERVICE = (
    NETWORK
    + """
[[isp]]
name = "aurora"
[[pool]]
name = "aurora-harbour"
area = "harbour"
isp = "aurora"
prefixes = ["100.64.0.0/24"]
[[offering]]
name = "home"
isp = "aurora"
down_kbps = 1000
up_kbps = 1000
[[line]]
name = "first"
area = "harbour"
circuit_id = "line-1"
[[service]]
name = "first-home"
isp = "aurora"
line = "first"
offering = "home"
"""
)


def test_a_new_relay_pool_and_service_are_effective_within_a_second(
    tmp_path: Path,
) -> None:
    """A relay that is not in the network is not answered; once it is, its lines are in
    the walled garden; and a line that gets a service is in its ISP's pool.
    """
    with (
        serving(tmp_path, BEFORE) as daemon,
        RelaySocket(daemon.dhcp_port) as relay,
    ):

        def offered(prefix: str) -> bool:
            relay.send(relay.discover(1))
            reply = relay.hear(0.2)
            return (
                reply is not None
                and reply.kind == OFFER
                and reply.yiaddr.startswith(prefix)
            )

        assert not offered("")
        for text, prefix in ((NETWORK, "10.0."), (WITH_SERVICE, "100.64.0.")):
            daemon.network.write_text(text)
            daemon.run("apply", str(daemon.network))
            wait_until(lambda prefix=prefix: offered(prefix), seconds=1.0)
