"""CPU of the address server's whole loop, an exchange: sockets, journal, event loop.

    python -m bench.dhcp_loop [--exchanges N] [--clients N] [--folder DIR]

So many clients at a time ask, are answered, take the offer and are answered again, then
the next: the load waits for the server, so what the server's process used does not
depend on what else the machine does, as a rate without loss would.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from bench.dhcp_path import asking, server_on, taking
from daemon.datagrams import DatagramSocket
from daemon.role import GC_THRESHOLDS
from storage.group_commit import GroupCommit
from storage.journal import JournalWriter

_PATIENCE_SECONDS = 30.0


async def _serve(sock: socket.socket, folder: Path, told: Connection) -> None:
    """Serve until told to stop; tell the processor time that it took."""
    commits = GroupCommit(
        JournalWriter(folder, file_bytes=64 << 20),
        monotonic=time.monotonic,
        observe=lambda _, __: None,
    )
    readable = server_on(commits, to_source=True).listen(DatagramSocket(sock))
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, readable)
    loop.add_reader(told.fileno(), stopping.set)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # as every role does
    before = os.times()
    told.send(None)
    await stopping.wait()
    after = os.times()
    told.send((after.user - before.user, after.system - before.system))
    await commits.drain()
    commits.close()


def _process(sock: socket.socket, folder: Path, told: Connection) -> None:
    uvloop.run(_serve(sock, folder, told))


def _ask(sock: socket.socket, packets: list[bytes]) -> list[bytes]:
    for octets in packets:
        sock.send(octets)
    return [sock.recv(2048) for _ in packets]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--exchanges", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    clients = options.clients
    ours, theirs = multiprocessing.Pipe()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        served.bind(("127.0.0.1", 0))
        server = multiprocessing.get_context("fork").Process(
            target=_process, args=(served, Path(folder), theirs), daemon=True
        )
        server.start()
        ours.recv()
        sock.connect(served.getsockname())
        sock.settimeout(_PATIENCE_SECONDS)
        for first in range(0, options.exchanges, clients):
            offers = _ask(sock, [asking(n) for n in range(first, first + clients)])
            _ask(sock, [taking(offer) for offer in offers])
        ours.send(None)
        user, system = ours.recv()
        server.join()
    done = -(-options.exchanges // clients) * clients
    print(
        f"an exchange {user / done * 1e6:.1f} us of CPU and {system / done * 1e6:.1f}"
        f" us of the kernel's, {clients} clients at a time"
    )


if __name__ == "__main__":
    main()
