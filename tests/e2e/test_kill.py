"""Held against a daemon whose processes are killed while equipment reports."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from e2e.daemon_process import Daemon, wait_until
from e2e.nas_load import NasLoad, check
from e2e.rated_network import check_money, rated_network

KILLS, KILLS_LONG = 30, 500
LINES = 16
# A role that dies again and again is started ever later, so each life of the daemon
# sees only some of these, and ends with everything, or with the supervisor alone.
LIFE = ("radius-0", "ledger", "control", "ledger", "radius-0")


@pytest.mark.timeout(7200)
def test_a_kill_of_any_role_at_any_moment_loses_and_doubles_nothing(
    tmp_path: Path, long: bool
) -> None:
    """What was acknowledged is counted, rated and booked once, whoever is killed (RFC
    2866 section 2)."""
    chance = random.Random(2866)
    left = KILLS_LONG if long else KILLS
    life = 0
    with (
        Daemon(tmp_path, network=rated_network(LINES)) as daemon,
        NasLoad(daemon, lines=LINES) as load,
    ):
        while left:
            life += 1
            for role in LIFE[:left]:
                _let_pass(load, chance.randrange(40, 1200))
                _kill(daemon, role)
                left -= 1
            if not left:
                break
            _let_pass(load, chance.randrange(40, 1200))
            left -= 1
            if life % 3 == 0:  # its roles must see for themselves that they end
                daemon.kill_supervisor()
            else:
                daemon.kill()
            daemon.start()
        _let_pass(load, 200)
        load.leave()
        wait_until(daemon.applied, 60)
        check(load, daemon)
        check_money(daemon, LINES)
        wait_until(lambda: daemon.readiness() == 200)
        assert daemon.stop() == 0


def _let_pass(load: NasLoad, packets: int) -> None:
    wanted = load.acknowledged + packets
    wait_until(lambda: load.acknowledged >= wanted or load.error, 30, every=0.005)
    assert load.error is None


def _kill(daemon: Daemon, role: str) -> None:
    """Kill a role, and wait until there is another in its place."""
    dead = daemon.pids()[role]
    if not dead:  # it is still being started again
        wait_until(lambda: daemon.pids()[role], 30)
        dead = daemon.pids()[role]
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: daemon.pids()[role] not in (0, dead), 30, every=0.02)
