"""Over-allocation as an operator sees it: packets, the journal, the command line."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dhcp_packets import (
    ACK,
    DISCOVER,
    OFFER,
    REQUEST,
    Answer,
    agent,
    answer,
    ip,
    message,
    option,
)
from e2e.daemon_process import Daemon, wait_until

from daemon.cli import main
from daemon.ipserver_role import REPLY_TO_SOURCE_VARIABLE

LINES = 20
OWN = 14
"""Addresses of the pool's /28 that can be leased."""

NETWORK = """
[[area]]
name = "harbour"
[[relay]]
area = "harbour"
giaddr = "127.0.0.1"
[[isp]]
name = "aurora"
[[isp]]
name = "borealis"
[[pool]]
name = "aurora-harbour"
area = "harbour"
isp = "aurora"
prefixes = ["10.0.0.0/28"]
burst = 64
[[pool]]
name = "borealis-harbour"
area = "harbour"
isp = "borealis"
prefixes = ["10.0.1.0/26"]
lending = 32
[[reserve]]
name = "harbour-reserve"
prefixes = ["10.0.2.0/28"]
[[over_allocation]]
block_prefix_length = 28
emergency_percent = 0
rationing_percent = 0
[[offering]]
name = "home"
isp = "aurora"
down_kbps = 1000
up_kbps = 1000
""" + "".join(
    f'[[line]]\nname = "l{n}"\narea = "harbour"\ncircuit_id = "l{n}"\n'
    f'[[service]]\nname = "s{n}"\nisp = "aurora"\nline = "l{n}"\noffering = "home"\n'
    for n in range(LINES)
)


class Relay:
    """A relay agent on loopback, with a line's client behind each circuit id."""

    def __init__(self, daemon: Daemon) -> None:
        self._to = ("127.0.0.1", daemon.dhcp_port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def exchange(self, line: str, kind: int, options: bytes = b"") -> Answer:
        """Send a message of a line's client and give the reply."""
        hardware = b"\x02" + line.encode().rjust(5, b"\0")
        circuit = option(82, agent(line.encode()))
        self._socket.sendto(
            message(kind, options + circuit, hardware=hardware), self._to
        )
        return answer(self._socket.recv(2048))

    def lease(self, line: str) -> str:
        """Bring a line up: DISCOVER, OFFER, REQUEST, ACK; give its address."""
        offer = self.exchange(line, DISCOVER)
        assert OFFER == offer.kind
        wanted = option(50, ip(offer.yiaddr)) + option(54, offer.options[54])
        ack = self.exchange(line, REQUEST, wanted)
        assert ACK == ack.kind
        return ack.yiaddr


def fairlane(daemon: Daemon, *words: str) -> list[dict[str, Any]]:
    """What a command prints with --json, run here: starting a Python takes longer."""
    command = [*words, "--json", "-c", str(daemon.configuration)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("single", [False, True], ids=["processes", "single"])
def test_a_full_pool_is_granted_a_block_and_gives_it_back(
    tmp_path: Path, single: bool
) -> None:
    """The client that found the pool full is answered by itself, all of it is there
    after a kill, and what was lent is recalled by a command, once; also with all roles
    in one process.
    """
    environment = {REPLY_TO_SOURCE_VARIABLE: "1"}
    with (
        Daemon(
            tmp_path, network=NETWORK, environment=environment, single=single
        ) as daemon,
        contextlib.closing(Relay(daemon)) as relay,
    ):
        own = {relay.lease(f"l{n}") for n in range(OWN)}
        borrowed = relay.lease(f"l{OWN}")  # no second DISCOVER: the first was parked
        daemon.kill()
        daemon.start()

        assert OWN == len(own)
        assert borrowed.startswith("10.0.2.")
        assert borrowed == relay.lease(f"l{OWN}")
        (pool,) = fairlane(daemon, "pools", "--isp", "aurora")
        assert (OWN + 1, 16) == (pool["leased"], pool["borrowed"])
        (why,) = fairlane(daemon, "why", f"l{OWN}")
        assert ("ack", borrowed) == (why["answer"], why["address"])
        assert 1 == why["loan"]["number"]

        wait_until(lambda: fairlane(daemon, "overallocation", "list"))
        (request,) = fairlane(daemon, "overallocation", "list")
        assert ("fulfilled", 16) == (request["state"], request["granted"])
        for _ in range(2):  # the key makes it once
            (done,) = fairlane(daemon, "loans", "recall", "1", "--key", "k")
            assert ("done", 1) == (done["result"], done["number"])
        (loan,) = fairlane(daemon, "loans", "list")
        assert ("recall", "harbour-reserve") == (loan["cause"], loan["lender"])
        assert 1 <= daemon.metric("fairlane_address_loans")
        daemon.stop()
        (stored,) = fairlane(daemon, "pools", "--isp", "aurora")
        assert (OWN + 1, 16) == (stored["leased"], stored["borrowed"])
