"""The address server held against clients, a relay and a load that others made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.daemon_process import Daemon, wait_until
from e2e.dhcp_client import serving
from free_ports import free_port

from ipserver.reasons import Reason
from ipserver.records import Bound, Ended, Entry, Extended, entries
from storage.journal import JournalReader

_PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """Find a peer, or skip."""
    found = shutil.which(name, path=_PLACES)
    if found is None:
        reason = f"{name} is not installed (Debian: {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def journaled(data_dir: Path) -> list[Entry]:
    """Read what the address server has on record."""
    reader = JournalReader(data_dir / "journal" / "ipserver")
    blocks = reader.read(1, 10**6)
    reader.close()
    return [entry for block in blocks for entry in entries(block.octets)]


def test_perfdhcp_gets_a_unique_address_for_every_client(tmp_path: Path) -> None:
    """ISC's load, which checks every address (-u)."""
    perfdhcp = program("perfdhcp", "kea-admin")
    own = free_port()
    with serving(tmp_path) as daemon:
        done = subprocess.run(
            [
                *(perfdhcp, "-4", "-u", "-r", "200", "-R", "100000", "-p", "3"),
                *("-W", "3000000", "-d", "3", "-g", "single", "-l", "127.0.0.1"),
                *("-L", str(own), "-N", str(daemon.dhcp_port), "127.0.0.1"),
            ],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        acknowledged = done.stdout.rpartition("REQUEST-ACK")[2]
        assert "non unique addresses: 0" in acknowledged, done.stdout + done.stderr
        received = acknowledged.partition("received packets: ")[2].split()[0]
        bound = [e for e in journaled(daemon.data_dir) if isinstance(e, Bound)]
    assert int(received) >= 400
    assert len({entry.address for entry in bound}) == len(bound) >= int(received)


NETWORK = """
[[area]]
name = "harbour"
dns_servers = ["192.0.2.53", "192.0.2.54"]
domain_name = "harbour.example"
[[relay]]
name = "relay-1"
area = "harbour"
giaddr = "10.9.0.1"
sources = ["10.8.0.2"]
[[pool]]
name = "garden"
area = "harbour"
walled_garden = true
prefixes = ["10.9.0.0/24"]
lease_seconds = 600
mtu = 1492
"""
SCRIPT = """#!/bin/sh
# udhcpc says what happened in $1 and the rest in ip, mask ...; dhclient in new_*.
event=${1:-$reason} ip=${ip:-$new_ip_address}
echo "$event $ip ${subnet:-$new_subnet_mask} ${router:-$new_routers}" \\
    "${dns:-$new_domain_name_servers} ${lease:-$new_dhcp_lease_time}" >> FOLDER/events
case $event in
bound|BOUND)
    IP addr add $ip/24 dev c0; IP route replace default via ${router:-$new_routers} ;;
deconfig|PREINIT) IP addr flush dev c0; IP link set c0 up ;;
esac
"""


class Site:
    """Three namespaces: a client, a relay, and the daemon on port 67."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ip = program("ip", "iproute2")
        self.relay_program = program("dhcrelay", "isc-dhcp-relay")
        self.names = {part: f"fl{os.getpid()}{part}" for part in ("c", "r", "s")}
        self.processes: list[subprocess.Popen[bytes]] = []
        script = SCRIPT.replace("FOLDER", str(folder)).replace("IP ", f"{self.ip} ")
        self.script = folder / "script"
        self.script.write_text(script)
        self.script.chmod(0o755)
        self.daemon = Daemon(
            folder,
            network=NETWORK,
            prefix=(self.ip, "netns", "exec", self.names["s"]),
        )
        self.daemon.dhcp_port = 67
        text = self.daemon.configuration.read_text()
        self.daemon.configuration.write_text(
            text.replace('["127.0.0.1:', '["0.0.0.0:').replace(
                text.partition('[dhcp]\nlisten = ["127.0.0.1:')[2].partition('"')[0],
                "67",
            )
        )

    def run(self, *words: str) -> None:
        """Run ip."""
        subprocess.run([self.ip, *words], check=True, capture_output=True)

    def inside(self, part: str, *words: str) -> list[str]:
        """Give a command that runs in a namespace."""
        return [self.ip, "netns", "exec", self.names[part], *words]

    def start(self, part: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a program in a namespace."""
        with (self.folder / f"log-{part}").open("ab") as log:
            process = subprocess.Popen(
                self.inside(part, *words),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.processes.append(process)
        return process

    def open(self) -> None:
        """Lay the wires, start relay and daemon."""
        client, relay, server = self.names.values()
        for name in self.names.values():
            self.run("netns", "add", name)
            self.run("-n", name, "link", "set", "lo", "up")
        for one, other, a, b in (("c", "r", "c0", "r0"), ("r", "s", "r1", "s0")):
            self.run(
                *("-n", self.names[one], "link", "add", a, "type", "veth"),
                *("peer", "name", b, "netns", self.names[other]),
            )
        for name, device, address in (
            (client, "c0", ""),
            (relay, "r0", "10.9.0.1/24"),
            (relay, "r1", "10.8.0.2/24"),
            (server, "s0", "10.8.0.1/24"),
        ):
            self.run("-n", name, "link", "set", device, "up")
            if address:
                self.run("-n", name, "addr", "add", address, "dev", device)
        self.run("-n", server, "route", "add", "10.9.0.0/24", "via", "10.8.0.2")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(self.inside("r", "sh", "-c", forward), check=True)
        self.daemon.start(wait=False)
        wait_until(lambda: (self.daemon.data_dir / "control.sock").exists(), 60)
        wait_until(lambda: self.daemon.status()["ready"], 60)
        self.start(
            "r",
            *(self.relay_program, "-4", "-d", "-a", "--no-pid"),
            *("-id", "r0", "-iu", "r1", "10.8.0.1"),
        )

    def events(self) -> list[list[str]]:
        """Give what the client's script was told, event by event."""
        path = self.folder / "events"
        text = path.read_text() if path.exists() else ""
        return [line.split() for line in text.splitlines()]

    def bound(self, *words: str) -> list[str]:
        """Wait for an event with one of these names, and give it."""
        wait_until(lambda: any(e[0] in words for e in self.events()), 40)
        return next(event for event in self.events() if event[0] in words)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a program."""
        process.terminate()
        process.wait(10)

    def close(self) -> None:
        """End all, and take the wires away."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        self.daemon.close()
        for name in self.names.values():
            subprocess.run([self.ip, "netns", "del", name], check=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A network of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    site = Site(tmp_path)
    try:
        try:
            site.open()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode()}")
        yield site
    finally:
        site.close()


def test_udhcpc_through_a_relay_gets_renews_and_gives_back_its_lease(
    site: Site,
) -> None:
    """BusyBox's client, ISC's relay with option 82, a renewal by unicast."""
    udhcpc = program("udhcpc", "udhcpc")
    client = site.start(
        "c",
        *(
            udhcpc,
            "-f",
            "-R",
            "-i",
            "c0",
            "-t",
            "20",
            "-T",
            "1",
            "-s",
            str(site.script),
        ),
    )
    _, address, mask, router, *rest = site.bound("bound")
    assert address.startswith("10.9.0.")
    assert ("255.255.255.0", "10.9.0.1") == (mask, router)
    assert ["192.0.2.53", "192.0.2.54", "600"] == rest
    bound = [e for e in journaled(site.daemon.data_dir) if isinstance(e, Bound)]
    assert "10.9.0.1/circuit:r0" == bound[-1].line

    def renewed() -> bool:
        client.send_signal(signal.SIGUSR1)  # one that comes too early is lost to it
        return any(event[0] == "renew" for event in site.events())

    wait_until(renewed, 30, every=0.5)
    assert address == site.bound("renew")[1]

    site.end(client)
    # The relay passes on what the client sends past it as well: each comes twice.
    wait_until(lambda: isinstance(journaled(site.daemon.data_dir)[-1], Ended), 20)
    assert {Reason.RELEASED} == set(_ended(site))


def test_dhclient_through_a_relay_gets_its_lease_and_the_same_after_a_reboot(
    site: Site,
) -> None:
    """ISC's client: DISCOVER to ACK, and INIT-REBOOT with its lease file."""
    dhclient = program("dhclient", "isc-dhcp-client")
    words = (dhclient, "-4", "-d", "-sf", str(site.script), "-cf", "/dev/null")
    words += ("-lf", str(site.folder / "leases"), "-pf", str(site.folder / "pid"), "c0")
    client = site.start("c", *words)
    _, address, mask, router, *rest = site.bound("BOUND")
    assert ("255.255.255.0", "10.9.0.1") == (mask, router)
    assert "600" == rest[-1]
    told = site.folder / "log-c"  # it tells us, and then writes its lease file
    wait_until(lambda: "bound to" in told.read_text())
    site.end(client)

    site.start("c", *words)

    assert address == site.bound("REBOOT")[1]
    assert [] == _ended(site)


def _ended(site: Site) -> list[Reason]:
    found = journaled(site.daemon.data_dir)
    assert all(isinstance(entry, Bound | Extended | Ended) for entry in found)
    return [entry.reason for entry in found if isinstance(entry, Ended)]
