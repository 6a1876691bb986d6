"""The address server is killed under load: no lease is lost, none is doubled."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from dhcp_packets import ACK, OFFER
from e2e.daemon_process import Daemon, wait_until
from e2e.dhcp_client import RelaySocket, serving

KILLS, KILLS_LONG = 3, 200


class Load(threading.Thread):
    """Clients that get leases, one behind the other; ``leases`` were acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.leases: dict[int, str] = {}
        self.error: BaseException | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        """Lease until told to stop."""
        try:
            with RelaySocket(self.port) as relay:
                line = 0
                while not self.stopping.is_set():
                    line += 1
                    self._lease(relay, line)
        except BaseException as error:
            self.error = error
            raise

    def _lease(self, relay: RelaySocket, line: int) -> None:
        offer = relay.ask(relay.discover(line), tries=60)
        assert OFFER == offer.kind
        reply = relay.ask(relay.request(line, offer.yiaddr), tries=60)
        if (
            reply.kind == ACK
        ):  # a NAK after a restart sends the client back to the start
            self.leases[line] = reply.yiaddr


def _kill(daemon: Daemon, role: str) -> None:
    dead = daemon.pids()[role]
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: daemon.pids()[role] not in (0, dead), 30, every=0.02)


@pytest.mark.timeout(3600)
def test_every_acknowledged_lease_is_there_after_a_kill_and_none_is_given_to_another(
    tmp_path: Path, long: bool
) -> None:
    """The role, and then everything, at any moment (RFC 2131 section 3.1)."""
    chance = random.Random(4)
    with serving(tmp_path) as daemon:
        load = Load(daemon.dhcp_port)
        load.start()
        try:
            for kill in range(KILLS_LONG if long else KILLS):
                wanted = len(load.leases) + chance.randrange(50, 300)
                wait_until(lambda w=wanted: len(load.leases) >= w or load.error, 60)
                if kill % 3 == 2:
                    daemon.kill()
                    daemon.start()
                else:
                    _kill(daemon, "ipserver")
        finally:
            load.stopping.set()
            load.join()
        assert load.error is None
        assert len(load.leases) == len(set(load.leases.values()))
        with RelaySocket(daemon.dhcp_port) as relay:
            for line, address in load.leases.items():
                ack = relay.ask(relay.rebind(line, address))
                assert (ACK, address) == (ack.kind, ack.yiaddr), line
