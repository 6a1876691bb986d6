"""What ``script/server`` runs: the demo's daemon, its story, and then the daemon alone.

The daemon is the one that everybody runs, ``fairlane run``, as a process of its own;
this one starts it, waits until it says that it is ready, tells the story, and hands a
signal to stop on to it. Exit code 0 when the story was as it should be and the daemon
ended cleanly.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from daemon import clock, demo, preparation, sockets
from daemon.commands.options import configuration_option, fail, load_or_exit
from daemon.control_socket import NotRunning, ask
from daemon.demo_broker import broker
from daemon.demo_telling import StoryError
from daemon.dependents import ending_with_parent
from daemon.preparation import Plan, StartError
from daemon.stores import StoreError

LOG = "fairlane.log"
_MQTT_URL = "FAIRLANE_MQTT__URL"
_READY_SECONDS = 120.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1
_LOG_LINES = 20
_LOG_OCTETS = 8192


class DaemonError(Exception):
    """The daemon did not start, or ended by itself; the message says what it said."""


class Stopped(BaseException):
    """A signal asked to stop."""


@click.command()
@configuration_option
@click.option("--once", is_flag=True, help="Stop after the story.")
@click.option("--no-story", is_flag=True, help="Serve at once.")
def main(configuration: Path | None, *, once: bool, no_story: bool) -> None:
    """Start Fairlane with the demo's network, play the story, and serve."""
    configuration = configuration or demo.CONFIGURATION
    plan = load_or_exit(configuration)
    try:
        if not _has_ipv6():
            configuration = _without_ipv6(plan, configuration)
            plan = load_or_exit(configuration)
            click.echo("This host has no IPv6: the demo listens on IPv4 alone.")
    except (StartError, OSError) as error:
        fail(str(error))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with _broker(plan), _daemon(plan, configuration) as process:
            plan = load_or_exit(configuration)
            _await_ready(plan, process)
            click.echo(f"Fairlane runs, and is ready (process {process.pid}).")
            if not no_story:
                demo.tell(plan)
            _check_health(plan)
            if not once:
                _serve(plan, configuration, process)
    except Stopped:
        if once:
            fail("stopped before the story's end")
    except (DaemonError, StartError) as error:
        fail(str(error))
    except (StoryError, StoreError, OSError) as error:
        fail(f"the story did not go as it should: {error}")
    click.echo("Fairlane has stopped.")


def _has_ipv6() -> bool:
    """Containers often have none, not even on loopback."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _without_ipv6(plan: Plan, configuration: Path) -> Path:
    """Copy configuration and network into the data directory, IPv6 listeners left out
    (those behind another in their list; the demo has no others)."""
    preparation.make_data_directory(plan.data_dir)
    text = re.sub(r',\s*"\[[0-9a-f:]+\]:\d+"', "", configuration.read_text())
    copy = plan.data_dir / configuration.name
    copy.write_text(text)
    shutil.copy(plan.settings.network, plan.data_dir)
    return copy


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


@contextmanager
def _broker(plan: Plan) -> Iterator[None]:
    """Have a broker for the demo, told of as any setting is: by the environment."""
    preparation.make_data_directory(plan.data_dir)
    if plan.settings.mqtt.url:
        yield
        return
    with broker(plan.data_dir) as url:
        os.environ[_MQTT_URL] = url
        yield


@contextmanager
def _daemon(plan: Plan, configuration: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the daemon, and stop it at the end, whatever happened meanwhile."""
    command = [sys.executable, "-m", "daemon.cli", "run", "-c", str(configuration)]
    with (plan.data_dir / LOG).open("ab") as log:
        process = subprocess.Popen(
            ending_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        # It has the signal already when it came from the terminal; twice is no harm.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        process.terminate()
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code:
        raise DaemonError(_last_words(plan, code))


def _await_ready(plan: Plan, process: subprocess.Popen[bytes]) -> None:
    deadline = clock.monotonic() + _READY_SECONDS
    while clock.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise DaemonError(_last_words(plan, process.wait(_POLL_SECONDS)))
        with contextlib.suppress(NotRunning, TimeoutError):
            answer = next(ask(plan.data_dir, {"command": "status"}), {})
            # Another daemon may have these files: then ours is about to say so.
            ours = answer.get("ready") and answer.get("pid") == process.pid
            if ours and _status_of(plan, "/readyz") == http.client.OK:
                return
    raise DaemonError(f"Fairlane is not ready after {_READY_SECONDS:.0f} s")


def _last_words(plan: Plan, code: int) -> str:
    """Say how the daemon ended: with its own sentence if it had one."""
    log = plan.data_dir / LOG
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_OCTETS))
        lines = file.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line.startswith("fairlane: ")]
    if said:
        return said[-1].removeprefix("fairlane: ")
    return "\n".join(
        [f"Fairlane ended with {code}; the end of {log}:", *lines[-_LOG_LINES:]]
    )


def _check_health(plan: Plan) -> None:
    for path in ("/readyz", "/metrics"):
        status = _status_of(plan, path)
        if status != http.client.OK:
            raise StoryError(f"{path} answers {status}")


def _status_of(plan: Plan, path: str) -> int:
    where = sockets.endpoint("http", plan.settings.http.listen)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def _serve(plan: Plan, configuration: Path, process: subprocess.Popen[bytes]) -> None:
    http_at = f"http://{plan.settings.http.listen}"
    accounting = ", ".join(plan.settings.radius.accounting_listen)
    fairlane = Path(sys.executable).parent / "fairlane"
    facts = (
        ("RADIUS accounting", accounting),
        ("is it well?", f"{http_at}/readyz?verbose"),
        ("metrics", f"{http_at}/metrics"),
        ("its log", str(plan.data_dir / LOG)),
        ("RADIUS access", ", ".join(plan.settings.radius.authentication_listen)),
        ("DHCP", ", ".join(plan.settings.dhcp.listen)),
        ("who is online", f"{_short(fairlane)} sessions -c {_short(configuration)}"),
        ("what was used", f"{_short(fairlane)} usage -c {_short(configuration)}"),
        ("addresses", f"{_short(fairlane)} pools -c {_short(configuration)}"),
    )
    click.echo("\nServing until stopped (Ctrl-C):")
    for name, value in facts:
        click.echo(f"  {name:18} {value}")
    sys.stdout.flush()
    code = process.wait()
    raise DaemonError(f"Fairlane ended by itself: {_last_words(plan, code)}")


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)


if __name__ == "__main__":
    main()
