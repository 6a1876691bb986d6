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
    RELEASE,
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
OWN = 13
"""Addresses of the pool's /28 that can be leased: not its ends, not its router."""

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
        self._xid = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def exchange(self, line: str, kind: int, options: bytes = b"") -> Answer:
        """Send a message of a line's client and give the reply."""
        reply = self.heard(line, kind, options, seconds=5)
        assert reply is not None
        return reply

    def heard(
        self, line: str, kind: int, options: bytes = b"", *, seconds: float
    ) -> Answer | None:
        """Send a message, and give the reply to this very one, if it comes in time."""
        self.send(line, kind, options)
        self._socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            while (reply := answer(self._socket.recv(2048))).xid != self._xid:
                pass  # of a message that nobody waits for any more
            return reply
        return None

    def send(
        self, line: str, kind: int, options: bytes = b"", ciaddr: str = "0.0.0.0"
    ) -> None:
        """Send a message of a line's client."""
        self._xid += 1
        hardware = b"\x02" + line.encode().rjust(5, b"\0")
        more = options + option(82, agent(line.encode()))
        sent = message(kind, more, xid=self._xid, hardware=hardware, ciaddr=ciaddr)
        self._socket.sendto(sent, self._to)

    def is_offered(self, line: str) -> bool:
        """Send a DISCOVER, and say whether it is answered within half a second."""
        return self.heard(line, DISCOVER, seconds=0.5) is not None

    def release(self, line: str, address: str) -> None:
        """Give a line's address back; nothing answers that (RFC 2131 section 4.4.6)."""
        self.send(line, RELEASE, option(54, ip("127.0.0.1")), address)

    def lease(self, line: str) -> str:
        """Bring a line up: DISCOVER, OFFER, REQUEST, ACK; give its address."""
        offer = self.exchange(line, DISCOVER)
        assert OFFER == offer.kind
        wanted = option(50, ip(offer.yiaddr)) + option(54, offer.options[54])
        ack = self.exchange(line, REQUEST, wanted)
        assert ACK == ack.kind
        return ack.yiaddr


def fairlane(daemon: Daemon, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """What a command prints with --json, run here: starting a Python takes longer."""
    command = [*words, "--json", "-c", str(daemon.configuration)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def only(daemon: Daemon, *words: str) -> dict[str, Any]:
    """The one object that a command prints, once the ledger has written it."""
    wait_until(lambda: fairlane(daemon, *words))
    (found,) = fairlane(daemon, *words)
    return found


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


ASKING = NETWORK.replace(
    'name = "borealis"\n', 'name = "borealis"\nlend_policy = "ask"\n'
).replace(
    "rationing_percent = 0\n",
    "rationing_percent = 0\nreserve_auto_max = 1\nback_off_seconds = 2\n"
    "quarantine_seconds = 1\nreturn_margin = 0\n",
)
"""The reserve grants nothing without a yes, nor does the other ISP lend; a block that
comes home rests for a second."""


@pytest.mark.timeout(400)
def test_people_deny_approve_and_return_at_the_command_line(tmp_path: Path) -> None:
    """A request that needs a yes: refused by all who were asked it ends with a reason
    and a time to ask again; agreed to by the lender it brings the line that waits its
    address; what was borrowed goes home when it is given back, block by state, and
    nobody's connection ends for it.
    """
    with (
        Daemon(
            tmp_path,
            network=ASKING,
            environment={REPLY_TO_SOURCE_VARIABLE: "1"},
            settings={"leases": "cool_down_seconds = 0"},
            single=True,
        ) as daemon,
        contextlib.closing(Relay(daemon)) as relay,
    ):
        own = {n: relay.lease(f"l{n}") for n in range(OWN)}
        waiting = f"l{OWN}"

        # Refused: each party has its own word, and one no leaves the other ways open.
        assert not relay.is_offered(waiting)
        request = only(daemon, "overallocation", "list", "--open")
        assert ("pending_approval", ["borealis", "network"]) == (
            request["state"],
            request["parties"],
        )
        number = str(request["number"])
        (said,) = fairlane(
            daemon, "overallocation", "approve", number, "--isp", "aurora", code=1
        )
        assert "not_asked" == said["result"]
        (said,) = fairlane(
            daemon, "overallocation", "deny", number, "--reason", "kept for the fair"
        )
        assert ("done", "pending_approval") == (said["result"], said["message"])
        (said,) = fairlane(
            daemon, "overallocation", "deny", number, "--isp", "borealis"
        )
        assert ("done", "denied") == (said["result"], said["message"])
        shown = only(daemon, "overallocation", "show", number)
        assert ("denied", "refused", 2, 0) == tuple(
            shown[key] for key in ("state", "reason", "retry_after", "granted")
        )
        words = {word["party"]: word for word in shown["approvals"]}
        assert {"network": "kept for the fair", "borealis": ""} == {
            party: word["reason"] for party, word in words.items()
        }
        assert {"deny"} == {word["answer"] for word in words.values()}
        (said,) = fairlane(daemon, "overallocation", "deny", number, code=1)
        assert "over" == said["result"]

        # Agreed to: the line that waits has its address with its next DISCOVER.
        def asked_again() -> bool:
            relay.is_offered(waiting)
            return bool(fairlane(daemon, "overallocation", "list", "--open"))

        wait_until(asked_again)
        number = str(only(daemon, "overallocation", "list", "--open")["number"])
        (why,) = fairlane(daemon, "why", waiting)
        assert ("silence", "pool_empty") == (why["answer"], why["reason"])
        assert "pending_approval" in [r["state"] for r in why["requests"]]
        (said,) = fairlane(
            daemon, "overallocation", "approve", number, "--isp", "borealis"
        )
        assert "done" == said["result"]
        wait_until(lambda: relay.is_offered(waiting))
        borrowed = relay.lease(waiting)
        assert borrowed.startswith("10.0.1.")
        only(daemon, "leases", "--address", borrowed)
        (had,) = fairlane(daemon, "who-had", borrowed)
        assert (waiting, "aurora", "borealis", "aurora") == (
            *(had["line"], had["isp"]),
            *(had["owner"], had["borrower"]),
        )
        shown = only(daemon, "overallocation", "show", number)
        assert ("fulfilled", 16) == (shown["state"], shown["granted"])

        counted = {
            "fairlane_dhcp_messages_total": {"type": "request", "result": "ack"},
            "fairlane_dhcp_dropped_total": {"reason": "pool_empty"},
            "fairlane_dhcp_allocation_seconds_count": {},
            "fairlane_over_allocation_ended_total": {"state": "denied"},
            "fairlane_over_allocation_decisions_total": {"outcome": "ask"},
            "fairlane_over_allocation_decision_seconds_count": {},
            "fairlane_address_loans": {"state": "active"},
        }
        wait_until(lambda: all(daemon.metric(n, **by) for n, by in counted.items()))
        parts = ("leased", "offered", "declined", "cooling", "lent", "borrowed", "free")
        assert [OWN + 1, 0, 0, 0, 0, 16, 14] == [
            daemon.metric("fairlane_pool_addresses", pool="aurora-harbour", state=part)
            for part in parts
        ]

        # Given back: there is room at home, and the client moves there by itself.
        for line in range(8):
            relay.release(f"l{line}", own[line])
        loan = str(only(daemon, "loans", "list", "--open")["number"])
        (said,) = fairlane(daemon, "loans", "return", loan, "--isp", "borealis", code=1)
        assert "forbidden" == said["result"]
        (said,) = fairlane(daemon, "loans", "return", loan, "--isp", "aurora")
        assert ("done", "return_requested") == (said["result"], said["message"])
        # Not faster than a line is answered, which is ten times a second.
        wait_until(lambda: relay.lease(waiting).startswith("10.0.0."), every=0.25)
        wait_until(lambda: not fairlane(daemon, "loans", "list", "--open"))
        (ended,) = fairlane(daemon, "loans", "list")
        assert ("returned", "return", "free") == (
            ended["outcome"],
            ended["cause"],
            ended["state"],
        )
        (mine, lenders) = fairlane(daemon, "pools")
        assert (0, 0) == (mine["borrowed"], lenders["lent"])
