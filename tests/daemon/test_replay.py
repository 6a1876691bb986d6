"""``fairlane replay``: a capture gives one ledger, and always the same."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from radius_cases import CASES, needs_cases
from radius_packets import octets, packet

from daemon.commands.replay import command
from radius.packet import attribute

scapy_utils = pytest.importorskip("scapy.utils")
l2 = pytest.importorskip("scapy.layers.l2")
inet = pytest.importorskip("scapy.layers.inet")
inet6 = pytest.importorskip("scapy.layers.inet6")

BEGUN = 1_700_000_000


NETWORK = """
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
[[line]]
name = "line-1"
area = "harbour"
circuit_id = "1"
[[tariff]]
name = "home"
isp = "aurora"
currency = "EUR"
zone = "Europe/Stockholm"
[[tariff.version]]
valid_from = "2020-01-01"
rate = [{ name = "data", measure = "sum", price = "0.10", per = "1 GB" }]
[[offering]]
name = "home"
isp = "aurora"
down_kbps = 1000
up_kbps = 1000
tariff = "home"
[[service]]
name = "alice-at-home"
isp = "aurora"
line = "line-1"
offering = "home"
user_names = ["alice"]
"""


def report(status: int, seconds: int, used: int | None) -> bytes:
    """One report of the story's session, ``seconds`` into it."""
    return packet(
        seconds % 256,
        status=status,
        acct_session_id="s1",
        user_name="alice",
        session_seconds=seconds,
        event_at=BEGUN + seconds,
        **octets("input", used),
        **octets("output", used),
    )


STORY = [report(1, 0, None), report(3, 600, 1000), report(2, 1200, 5000)]


def frame(payload: bytes, at: float, *below: Any) -> Any:
    """A frame that carries a datagram, captured ``at``; over IPv4 if not said."""
    network = below or (l2.Ether(), inet.IP(src="192.0.2.1", dst="192.0.2.2"))
    stacked = network[0]
    for layer in network[1:]:
        stacked /= layer
    stacked = stacked / inet.UDP(sport=1700, dport=1813) / payload
    stacked = type(network[0])(bytes(stacked))
    stacked.time = at
    return stacked


def written(folder: Path, frames: list[Any], *, name: str = "story.pcap") -> Path:
    """A capture of these frames; its suffix decides the format."""
    path = folder / name
    make = scapy_utils.wrpcapng if path.suffix == ".pcapng" else scapy_utils.wrpcap
    make(str(path), frames)
    return path


def replay(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(command, [str(one) for one in arguments])


def objects(result: Result, word: str) -> list[dict[str, Any]]:
    """The objects of one kind that it printed."""
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [row for row in rows if row["object"] == word]


def test_a_session_in_a_capture_is_listed_with_its_usage(tmp_path: Path) -> None:
    """Start, Interim-Update and Stop become one closed session and its total."""
    frames = [frame(p, BEGUN + 600 * i + 1) for i, p in enumerate(STORY)]
    result = replay(written(tmp_path, frames), "--json")
    (session,) = objects(result, "session")
    assert session["nas"] == "192.0.2.1"
    assert session["user_name"] == "alice"
    assert session["state"] == "closed"
    assert session["started_at"] == "2023-11-14T22:13:20Z"
    assert session["stopped_at"] == "2023-11-14T22:33:20Z"
    assert session["input_octets"] == session["output_octets"] == 5000
    assert sum(u["input_octets"] for u in objects(result, "usage")) == 5000
    assert result.stderr == "3 frames, 3 accounting requests\n"


def test_a_capture_is_rated_by_a_network_file_and_always_the_same(
    tmp_path: Path,
) -> None:
    """The ledger of a capture is a fact of the capture and the network (law 2)."""
    network = tmp_path / "network.toml"
    network.write_text(NETWORK)
    reports = [
        packet(
            status,
            status=kind,
            acct_session_id="s1",
            user_name="alice",
            session_seconds=600 * status,
            event_at=BEGUN + 600 * status,
            **octets("output", 3 * 10**9 * status),
        )
        for status, kind in enumerate((1, 3, 3, 2))
    ]
    frames = [frame(p, BEGUN + 600 * i) for i, p in enumerate(reports)]
    capture = written(tmp_path, frames)
    first, again = (replay(capture, "--network", network, "--json") for _ in "12")
    assert (first.stdout, first.stderr) == (again.stdout, again.stderr)
    entries = objects(first, "entry")
    assert ["-0.30"] * 3 == [entry["subscriber"] for entry in entries]
    assert {"alice-at-home"} == {entry["service"] for entry in entries}
    assert "ledger: sha256 " in first.stderr


def test_the_capture_s_time_is_the_time_of_arrival(tmp_path: Path) -> None:
    """Without Event-Timestamp a session begins when the capture says, not now."""
    start = packet(1, status=1, acct_session_id="s1", delay=5)
    capture = written(tmp_path, [frame(start, BEGUN + 5.25)])
    (session,) = objects(replay(capture, "--json"), "session")
    assert session["started_at"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("name", ["story.pcap", "story.pcapng"])
@pytest.mark.parametrize(
    ("below", "nas"),
    [
        ((l2.Ether(), l2.Dot1Q(vlan=7), inet.IP(src="192.0.2.3")), "192.0.2.3"),
        (
            (l2.Ether(), l2.Dot1AD(vlan=7), l2.Dot1Q(vlan=8), inet.IP(src="192.0.2.4")),
            "192.0.2.4",
        ),
        ((l2.Ether(), inet6.IPv6(src="2001:db8::1", dst="2001:db8::2")), "2001:db8::1"),
        ((inet.IP(src="192.0.2.5"),), "192.0.2.5"),
    ],
    ids=["vlan", "two vlans", "ipv6", "no ethernet"],
)
def test_every_encapsulation_gives_the_same_session(
    tmp_path: Path, name: str, below: tuple[Any, ...], nas: str
) -> None:
    """VLAN tags, IPv6, bare IP, pcap and pcapng change nothing but the NAS's name."""
    frames = [frame(p, BEGUN + 600 * i, *below) for i, p in enumerate(STORY)]
    (session,) = objects(
        replay(written(tmp_path, frames, name=name), "--json"), "session"
    )
    assert (session["nas"], session["input_octets"]) == (nas, 5000)


def test_what_is_no_accounting_request_is_passed_over(tmp_path: Path) -> None:
    """Answers, other protocols and broken requests are counted and give nothing."""
    answer = b"\x05\x01\x00\x14" + bytes(16)
    cut_off = STORY[0][:-3]
    arp = l2.Ether() / l2.ARP()
    arp.time = BEGUN
    frames = [frame(p, BEGUN) for p in (answer, cut_off, b"", b"\x04")]
    result = replay(written(tmp_path, [arp, *frames]), "--json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "5 frames, 0 accounting requests, 2 malformed\n"


def test_one_nas_can_be_chosen_by_its_address(tmp_path: Path) -> None:
    """--nas leaves only what came from there."""
    ours = frame(STORY[0], BEGUN)
    other = frame(STORY[0], BEGUN, l2.Ether(), inet.IP(src="192.0.2.9"))
    capture = written(tmp_path, [ours, other])
    assert len(objects(replay(capture, "--json"), "session")) == 2
    (session,) = objects(replay(capture, "--json", "--nas", "192.0.2.9"), "session")
    assert session["nas"] == "192.0.2.9"


def test_a_file_that_is_no_capture_is_refused_with_its_name(tmp_path: Path) -> None:
    """Exit code 1 and a sentence, not a traceback."""
    for octet_count in (0, 3, 4000):
        path = tmp_path / "not.pcap"
        path.write_bytes(b"x" * octet_count)
        result = replay(path)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"fairlane: {path}: no capture: ")


def test_a_capture_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    """What a full disk left of a capture still tells its story."""
    frames = [frame(p, BEGUN + 600 * i) for i, p in enumerate(STORY)]
    path = written(tmp_path, frames)
    path.write_bytes(path.read_bytes()[:-30])
    result = replay(path, "--json")
    (session,) = objects(result, "session")
    assert (session["state"], session["input_octets"]) == ("open", 1000)


def test_without_scapy_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scapy is optional: where it is absent the message says what to install."""
    capture = written(tmp_path, [frame(STORY[0], BEGUN)])
    real = builtins.__import__

    def absent(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("scapy"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    result = replay(capture)
    assert result.exit_code == 1
    assert "fairlane[pcap]" in result.stderr


def _captures() -> list[str]:
    found = [*CASES.glob("tcpdump/RADIUS*.pcap"), *CASES.glob("arkime/*.pcap")]
    return sorted(str(path.relative_to(CASES)) for path in found)


@needs_cases
@pytest.mark.parametrize("name", _captures())
def test_captures_of_others_replay_to_the_same_octets(name: str) -> None:
    """The same file gives the same output, however often it is replayed."""
    first, second = replay(CASES / name), replay(CASES / name)
    assert first.exit_code == 0, first.output
    assert first.stdout_bytes == second.stdout_bytes
    assert first.stderr == second.stderr


@needs_cases
def test_arkime_s_capture_gives_the_session_that_it_reports() -> None:
    """One Interim-Update of a wireless controller, in a VLAN: all of its totals."""
    (session,) = objects(replay(CASES / "arkime/radius.pcap", "--json"), "session")
    assert session["framed_ip_address"] == "10.0.0.3"
    assert (session["input_octets"], session["output_octets"]) == (5366178, 84869322)
    assert session["seconds"] == 177620


def long_request() -> bytes:
    """A request that needs three packets of 600 octets, and its session's name."""
    return packet(
        1,
        status=1,
        acct_session_id="long",
        event_at=BEGUN,
        raw=b"".join(attribute(25, bytes([n]) * 250) for n in range(6)),
    )


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "backwards"])
@pytest.mark.parametrize("version", [4, 6])
def test_fragments_are_put_together_rfc_791_rfc_8200(
    tmp_path: Path, version: int, *, reverse: bool
) -> None:
    """Over IPv4 and IPv6, in any order, with one that comes twice."""
    payload = inet.UDP(sport=1700, dport=1813) / long_request()
    if version == 4:
        whole = inet.IP(src="192.0.2.1", dst="192.0.2.2", id=7) / payload
        pieces = inet.fragment(inet.IP(bytes(whole)), fragsize=600)
        frames = [l2.Ether() / piece for piece in pieces]
    else:
        header = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2")
        whole = header / inet6.IPv6ExtHdrFragment(id=7) / payload
        frames = [l2.Ether() / piece for piece in inet6.fragment6(whole, 700)]
    frames = [type(f)(bytes(f)) for f in [*frames, frames[0]][:: -1 if reverse else 1]]
    for at, one in enumerate(frames):
        one.time = BEGUN + at
    assert len(frames) == 4
    result = replay(written(tmp_path, frames), "--json")
    (session,) = objects(result, "session")

    assert session["acct_session_id"] == "long"
    assert len(bytes.fromhex(session["class"])) == 6 * 252
