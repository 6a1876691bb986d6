"""What must be so before roles start: the configuration, the lock, the stores.

Two locks keep two daemons off one data directory.  ``lock`` belongs to the
supervisor and is refused at once.  ``roles.lock`` is held through a descriptor that
every role inherits, so it is free only when the last role of a supervisor that was
killed has drained; a new supervisor waits for that.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from config.loader import digest, load_network, load_settings
from config.network import Network
from config.schema import Settings
from daemon import role, sockets
from daemon.sockets import Endpoint

# Roles without a supervisor drain in 4 s.
ORPHANS_SECONDS_MAX = 8


class StartError(Exception):
    """The daemon cannot start; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A configuration that has been checked.

    ``file`` is None when none was named; ``digest`` identifies the content of
    settings and network together.
    """

    file: Path | None
    settings: Settings
    network: Network | None
    digest: str

    @property
    def data_dir(self) -> Path:
        """Where everything lives."""
        return Path(self.settings.data_dir)

    def with_network(self, network: Network) -> Plan:
        """Return the same settings with another network."""
        in_force = digest(self.settings, network)[:12]
        return dataclasses.replace(self, network=network, digest=in_force)

    @property
    def workers(self) -> int:
        """How many radius roles there are."""
        return self.settings.radius.workers

    def endpoints(self) -> list[Endpoint]:
        """List every address to listen on; raises AddressError."""
        radius = self.settings.radius
        return [
            *(
                sockets.endpoint("authentication", a)
                for a in radius.authentication_listen
            ),
            *(sockets.endpoint("accounting", a) for a in radius.accounting_listen),
            *(sockets.endpoint("dhcp", a) for a in self.settings.dhcp.listen),
            sockets.endpoint("http", self.settings.http.listen),
        ]


def load(file: Path | None) -> Plan:
    """Read settings and network; raises ConfigurationError with every problem."""
    settings = load_settings(file)
    network = load_network(Path(settings.network)) if settings.network else None
    in_force = digest(settings, network)[:12]
    return Plan(file=file, settings=settings, network=network, digest=in_force)


def make_data_directory(directory: Path) -> None:
    """Make ``directory`` ours alone (0700); raises StartError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise StartError(f"{directory}: {error.strerror}") from error


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Hold the data directory; yields the descriptor for roles to inherit.

    Raises StartError when another daemon has it.
    """
    own = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.lockf(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(own, 20, 0).decode(errors="replace").strip()
            raise StartError(
                f"{directory} is in use by another fairlane (process {holder or '?'})"
            ) from error
        os.ftruncate(own, 0)
        os.pwrite(own, f"{os.getpid()}\n".encode(), 0)
        shared = os.open(directory / "roles.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _wait_for_orphans(shared, directory)
            yield shared
        finally:
            os.close(shared)
    finally:
        os.close(own)


def _wait_for_orphans(descriptor: int, directory: Path) -> None:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(ORPHANS_SECONDS_MAX)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except TimeoutError as error:
        raise StartError(
            f"{directory}: roles of an earlier fairlane are still running"
        ) from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def role_places(plan: Plan) -> list[tuple[str, int]]:
    """List the roles to run: radius as often as configured, the others once."""
    return [
        (name, index)
        for name in role.ROLES
        for index in range(plan.workers if name == "radius" else 1)
    ]
