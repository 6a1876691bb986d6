"""The demo: its story holds against a real daemon, and says so when it does not."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port

from config.loader import load_settings
from daemon import demo
from daemon.control_socket import NotRunning, ask

ROOT = Path(__file__).resolve().parents[2]

# Two tellings, each with a daemon that starts: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(500)


ORDERS = 2 if shutil.which("mosquitto", path="/usr/sbin:/usr/bin") else 1
PLACE = re.compile(r'"(127\.0\.0\.1|\[::1\]):\d+"')


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """The demo's configuration and network, on other ports and in their own folder."""
    shutil.copy(demo.CONFIGURATION.with_name("demo-network.toml"), tmp_path)
    text = demo.CONFIGURATION.read_text().replace(', "[::1]:18130"', "")
    text = PLACE.sub(lambda found: f'"{found[1]}:{free_port()}"', text)
    path = tmp_path / "demo.toml"
    path.write_text(text.replace('"./var"', f'"{tmp_path / "var"}"'))
    return path


def run(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the demo's two programs to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def once(configuration: Path) -> subprocess.CompletedProcess[str]:
    """Start the daemon, play the story, stop."""
    return run("daemon.demo_server", "-c", configuration, "--once")


@pytest.fixture
def serving(configuration: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo without its story, serving."""
    program = [sys.executable, "-m", "daemon.demo_server", "--no-story", "-c"]
    command = [*program, str(configuration)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        try:
            for line in demo.stdout:
                if "Serving until stopped" in line:
                    break
            yield demo
        finally:
            demo.terminate()
            demo.stdout.read()


def test_the_story_can_be_told_again_and_again(configuration: Path) -> None:
    """Each telling is a session of its own, on the database of those before."""
    sessions = set()
    for _ in range(2):
        result = once(configuration)
        assert result.returncode == 0, result.stdout + result.stderr
        sessions |= set(re.findall(r"session (demo-\w+)$", result.stdout, re.MULTILINE))
        assert result.stdout.count("  wrapped\n") == 1
        assert result.stdout.count("  recall  returned\n") == 1
        assert result.stdout.count("order is completed:\n") == ORDERS
    assert len(sessions) == 2


def test_the_story_can_be_told_to_a_daemon_that_runs(
    serving: subprocess.Popen[str], configuration: Path
) -> None:
    """`python -m daemon.demo` alone needs the daemon, and leaves out what else does."""
    result = run("daemon.demo", "-c", configuration)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing is counted twice" in result.stdout
    assert "No MQTT broker is here" in result.stdout
    assert serving.poll() is None


def answers(data_dir: Path) -> bool:
    """Say whether a daemon is there."""
    try:
        next(ask(data_dir, {"command": "status"}), None)
    except NotRunning:
        return False
    return True


def test_a_killed_demo_takes_its_daemon_with_it(
    serving: subprocess.Popen[str], configuration: Path
) -> None:
    """SIGKILL runs no clean-up, so the kernel tells the daemon; it drains and ends."""
    data_dir = configuration.parent / "var"
    assert next(ask(data_dir, {"command": "status"}))["ready"]
    serving.kill()
    deadline = time.monotonic() + 20
    while answers(data_dir):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_server_on_the_same_files_is_told_who_has_them(
    serving: subprocess.Popen[str], configuration: Path
) -> None:
    """It ends with 1, and the first one's log is as it was."""
    log = configuration.parent / "var" / "fairlane.log"
    before = log.read_bytes()
    result = once(configuration)
    assert result.returncode == 1
    assert re.search(r"^fairlane: .*var is in use by another fairlane", result.stderr)
    assert log.read_bytes().startswith(before)
    assert serving.poll() is None


@pytest.mark.parametrize("kind", ["http", "accounting"])
def test_a_port_in_use_is_named(configuration: Path, kind: str) -> None:
    """Neither a traceback nor a wait: which address, and that it is in use."""
    settings = load_settings(configuration)
    text = (
        settings.http.listen if kind == "http" else settings.radius.accounting_listen[0]
    )
    type_ = socket.SOCK_STREAM if kind == "http" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, type_) as other:
        other.bind(("127.0.0.1", int(text.rpartition(":")[2])))
        if kind == "http":
            other.listen()
        result = once(configuration)
    assert result.returncode == 1
    assert result.stderr == f"fairlane: {kind} {text}: Address already in use\n"
    assert result.stdout == ""


def test_a_story_without_a_daemon_says_that_nobody_listens(
    configuration: Path,
) -> None:
    """The story ends at its first step, with 1."""
    result = run("daemon.demo", "-c", configuration)
    assert result.returncode == 1
    assert "did not go as it should: nobody listens there" in result.stderr


def test_a_story_that_is_not_answered_fails(
    serving: subprocess.Popen[str], configuration: Path
) -> None:
    """A NAS with another secret gets no answer, and the story says so."""
    other = configuration.parent / "other"
    other.mkdir()
    network = configuration.with_name("demo-network.toml").read_text()
    (other / "demo-network.toml").write_text(network.replace("demo-secret", "another"))
    shutil.copy(configuration, other)
    result = run("daemon.demo", "-c", other / configuration.name)
    assert result.returncode == 1
    assert "no answer to 3 requests" in result.stderr
    assert serving.poll() is None


_WITHOUT_IPV6 = (
    "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    ' && echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6 && exec "$@"'
)


def test_a_host_without_ipv6_has_the_demo_too(configuration: Path) -> None:
    """As in most containers: an address of its own list that cannot be is left out."""
    apart = ["unshare", "-n", "sh", "-c", _WITHOUT_IPV6, "sh"]
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare or ip is not installed")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a network without IPv6")
    text = configuration.read_text()
    listen = r'(accounting_listen = \["127.0.0.1:(\d+)")'
    configuration.write_text(re.sub(listen, r'\1, "[::1]:\2"', text))
    program = [sys.executable, "-m", "daemon.demo_server", "--once", "-c"]
    result = subprocess.run(
        [*apart, *program, str(configuration)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("This host has no IPv6")
