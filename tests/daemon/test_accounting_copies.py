"""Copies of accounting for several ISPs out of one journal, without a daemon."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from radius_packets import packet

from daemon.accounting_copies import AccountingCopies
from daemon.journaled_reports import JournaledReports, Whose
from radius.packet import accounting_response
from radius.proxying import attributes_of
from radius.records import Origin, encode_origin
from storage.accounting_copies import read_copy_positions
from storage.database import Database
from storage.journal import JournalWriter

KEY = bytes(range(32))
HOME_SECRET = b"shared with the ISP's servers"
ORIGIN = encode_origin(Origin(bytes((192, 0, 2, 1)), 1813, "bng1"))
USERS = ("a@aurora.example", "b@borealis.example", "c@cirrus.example")
REALMS = {f"{isp}.example": isp for isp in ("aurora", "borealis", "cirrus")}
BLOCKS = 5


def journal(data_dir: Path, blocks: int = BLOCKS) -> Path:
    """Write blocks with a report of each user in each."""
    folder = data_dir / "journal" / "accounting-0"
    writer = JournalWriter(folder, file_bytes=1 << 20)
    for number in range(blocks):
        octets = b"".join(
            ORIGIN + packet(status=1, acct_session_id=f"S{number}", user_name=user)
            for user in USERS
        )
        writer.append(octets, records=len(USERS), received_at_ns=10**18)
    writer.close()
    return folder


async def walk(reports: JournaledReports, isp: str) -> tuple[list[int], int]:
    """Give the positions of an ISP's reports, and the one behind all."""
    found, at = [], 1
    while blocks := await reports.read("accounting-0", at):
        for block in blocks:
            found += [one.position for one in block.reports.get(isp, ())]
        at = blocks[-1].behind
    return found, at


@pytest.fixture
def reports(tmp_path: Path) -> JournaledReports:
    """A reader for two of the three ISPs."""
    reports = JournaledReports(tmp_path / "journal", KEY)
    reports.know(Whose({}, REALMS, frozenset(("aurora", "borealis"))))
    return reports


def test_what_one_isp_had_read_is_not_read_again_for_another(
    reports: JournaledReports, tmp_path: Path
) -> None:
    """The second finds its own with the journal's files gone; nobody's are kept."""
    folder = journal(tmp_path)

    async def both() -> list[tuple[list[int], int]]:
        assert {"accounting-0": 16} == await reports.ends()
        first = await walk(reports, "aurora")
        shutil.rmtree(folder)
        return [first, await walk(reports, "borealis"), await walk(reports, "cirrus")]

    assert [
        ([1, 4, 7, 10, 13], 16),
        ([2, 5, 8, 11, 14], 16),
        ([], 16),
    ] == asyncio.run(both())
    reports.close()


def test_a_changed_network_has_the_blocks_sorted_anew(
    reports: JournaledReports, tmp_path: Path
) -> None:
    """An ISP that wants copies from now on gets those of what was read before."""
    journal(tmp_path)

    async def before_and_after() -> list[tuple[list[int], int]]:
        await reports.ends()
        before = await walk(reports, "cirrus")
        reports.know(Whose({}, REALMS, frozenset(("cirrus",))))
        return [before, await walk(reports, "cirrus")]

    assert [([], 16), ([3, 6, 9, 12, 15], 16)] == asyncio.run(before_and_after())
    reports.close()


class HomeServer(asyncio.DatagramProtocol):
    """An ISP's accounting server: acknowledges, and passes on the User-Names."""

    def __init__(self) -> None:
        self.users: asyncio.Queue[str] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        """Know where answers go."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Acknowledge a copy."""
        found = list(attributes_of(data[20:]))
        self.users.put_nowait(dict(found)[1][2:].decode())
        proxy_states = b"".join(whole for kind, whole in found if kind == 33)
        answer = accounting_response(data, HOME_SECRET, proxy_states)
        self.transport.sendto(answer, addr)


async def home_server() -> HomeServer:
    """Start a server."""
    loop = asyncio.get_running_loop()
    _, home = await loop.create_datagram_endpoint(
        HomeServer, local_addr=("127.0.0.1", 0)
    )
    return home


def isp(name: str, realm: str, port: int) -> dict[str, Any]:
    """An ISP that wants copies at a port."""
    return {
        "name": name,
        "realms": [realm],
        "accounting_servers": [f"127.0.0.1:{port}"],
        "radius_secret": HOME_SECRET.decode(),
    }


def test_each_isp_gets_its_own_and_a_position_of_its_own(
    database: Database, tmp_path: Path
) -> None:
    """One whose server is away holds up no other, and who has nothing of its own
    writes nothing."""
    journal(tmp_path)

    async def copied() -> list[list[str]]:
        homes = [await home_server() for _ in range(2)]
        ports = [home.transport.get_extra_info("sockname")[1] for home in homes]
        isps = (
            isp("aurora", "aurora.example", ports[0]),
            isp("borealis", "borealis.example", ports[1]),
            isp("away", "cirrus.example", 9),
            isp("nobody", "nobody.example", 9),
        )
        copies = AccountingCopies(database, tmp_path, KEY)
        await copies.know({("isp", one["name"]): one for one in isps})
        try:
            async with asyncio.timeout(30):
                users = [
                    [await home.users.get() for _ in range(BLOCKS)] for home in homes
                ]
                # What comes next is sent when the position behind these is written.
                journal(tmp_path, blocks=1)
                return [
                    [*own, await home.users.get()]
                    for own, home in zip(users, homes, strict=True)
                ]
        finally:
            await copies.close()
            for home in homes:
                home.transport.close()

    def position(isp: str) -> int:
        with database.read.connect() as connection:
            return read_copy_positions(connection, isp).get("accounting-0", 0)

    assert [[user] * (BLOCKS + 1) for user in USERS[:2]] == asyncio.run(copied())
    assert position("aurora") in (16, 19)
    assert position("borealis") in (16, 19)
    assert 0 == position("away") == position("nobody")
