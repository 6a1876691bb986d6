"""An order on a real daemon: from the command line to a session that proves it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from e2e.daemon_process import NAS, Daemon, NasSocket, wait_until
from radius_packets import SECRET, packet

NETWORK = f"""
{NAS}
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
realms = ["aurora.example"]
[[pool]]
name = "aurora-harbour"
area = "harbour"
isp = "aurora"
prefixes = ["100.64.0.0/20"]
[[line]]
name = "harbour-201"
area = "harbour"
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 500_000
up_kbps = 100_000
"""
ORDER = {
    "externalId": "A-1",
    "serviceOrderItem": [
        {
            "id": "1",
            "action": "add",
            "service": {
                "serviceSpecification": {"name": "home-500"},
                "place": [{"role": "line", "name": "harbour-201"}],
                "serviceCharacteristic": [
                    {"name": "userName", "value": "sub201@aurora.example"},
                    {"name": "password", "value": "not-a-secret"},
                ],
            },
        }
    ],
}


def accepted(daemon: Daemon, password: str) -> bool:
    """Ask for access as a NAS would, and tell whether it was given."""
    asked = (
        "User-Name=sub201@aurora.example,NAS-IP-Address=127.0.0.1,"
        f"User-Password={password},Message-Authenticator=0x00"
    )
    address = f"127.0.0.1:{daemon.authentication_port}"
    done = subprocess.run(
        ["radclient", "-x", "-r", "1", "-t", "5", address, "auth", SECRET.decode()],
        input=asked.encode(),
        capture_output=True,
        check=False,
    )
    return b"Access-Accept" in done.stdout


@pytest.mark.skipif(shutil.which("radclient") is None, reason="needs radclient")
def test_an_ordered_service_has_access_in_a_second_and_accounting_completes_it(
    tmp_path: Path,
) -> None:
    """The password is sealed and works; active when the first packet says so."""
    order = tmp_path / "order.json"
    order.write_text(json.dumps(ORDER))
    with Daemon(tmp_path, network=NETWORK) as daemon:

        def state() -> str:
            return str(json.loads(daemon.run("orders", "list", "--json"))["state"])

        assert not accepted(daemon, "not-a-secret")
        daemon.run("orders", "place", str(order), "--isp", "aurora")
        ordered_at = time.monotonic()
        wait_until(lambda: accepted(daemon, "not-a-secret"), 10)
        seconds = time.monotonic() - ordered_at
        assert not accepted(daemon, "another-word")
        assert state() == "inProgress"
        with NasSocket(daemon.accounting_port) as nas:
            nas.ask(
                packet(
                    status=1,
                    acct_session_id="s1",
                    user_name="sub201@aurora.example",
                    framed_ip_address="100.64.0.7",
                )
            )
        wait_until(lambda: state() == "completed", 15)

        # A follower of the feed looks four times a second; the machine may be busy.
        assert seconds < 10
