"""Who is asking, by what the relay says (RFC 3046, RFC 3993, RFC 4361)."""

from __future__ import annotations

from typing import Any

import pytest
from access_network import GIADDR, ask, network
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.offers import Service
from config.plant import Area, Line, Relay
from ipserver.ask import Agent, Message
from ipserver.line_texts import LineId, line_of, line_text
from ipserver.lines import Lines


def found(lines: Lines, agent: Agent, **fields: Any) -> LineId | None:
    """The line of a DISCOVER with this agent's information."""
    party = lines.find(ask(Message.DISCOVER, agent=agent, **fields))
    return None if party is None else party.line


def test_the_line_that_says_most_of_itself_is_meant() -> None:
    """Circuit and remote id before circuit id alone, a relay's own before any."""
    rows = (
        Line(name="circuit", area="harbour", circuit_id="c"),
        Line(name="both", area="harbour", circuit_id="c", remote_id="r"),
        Line(name="behind", area="harbour", relay="relay-1", circuit_id="d"),
        Line(name="anywhere", area="harbour", circuit_id="d"),
        Line(name="octets", area="harbour", circuit_id="0x0004000a"),
    )
    lines = Lines(network(line=rows, service=()))
    asked = [
        Agent(b"1", b"c", b"r"),
        Agent(b"1", b"c", b"other"),
        Agent(b"1", b"d", b"r"),
        Agent(b"1", b"\x00\x04\x00\x0a"),
    ]
    assert [found(lines, agent) for agent in asked] == [
        "both",
        "circuit",
        "behind",
        "octets",
    ]


def test_a_service_that_moves_is_served_on_both_lines() -> None:
    """Until it is seen on the one that it moves to."""
    moving = Service(
        name="s", isp="aurora", line="line-1", former_line="line-0", offering="home"
    )
    lines = Lines(network(service=(moving,)))
    parties = [lines.party(f"line-{number}", "harbour") for number in range(3)]

    assert ["s", "s", ""] == [party.service for party in parties if party]


def test_of_two_isps_on_a_line_the_one_that_replaces_is_served() -> None:
    """In a change of ISP the next lease is the new one's, whatever it is called; of two
    that do not replace one another, the first by name's."""
    old = Service(name="a", isp="aurora", line="line-0", offering="home")
    new = Service(name="b", isp="borealis", line="line-0", offering="other")
    served = []
    for services in ((old, new), (old, replace(new, replaces="a"))):
        party = Lines(network(service=services)).party("line-0", "harbour")
        assert party is not None
        served.append((party.service, party.terms.isp))

    assert [("a", "aurora"), ("b", "borealis")] == served


def test_ids_are_opaque_unless_a_rule_says_otherwise() -> None:
    """RFC 3046 section 2.2; some relays put a type and a length before them."""
    wrapped = Agent(b"1", b"\x00\x06line-0")
    assert isinstance(found(Lines(network()), wrapped), bytes)
    unwrapping = Lines(network(area={"circuit_id_wrapper": "type_length"}))
    assert found(unwrapping, wrapped) == "line-0"
    assert found(unwrapping, Agent(b"1", b"line-0")) == "line-0"


def test_a_relay_can_have_a_key_of_its_own() -> None:
    """Behind this one the subscriber id says which line it is."""
    relay = Relay(
        name="relay-1",
        area="harbour",
        giaddr="192.0.2.1",
        line_key=("subscriber_id",),
    )
    rows = (Line(name="sub", area="harbour", subscriber_id="4711", relay="relay-1"),)
    lines = Lines(network(relay=(relay,), line=rows, service=()))
    agent = Agent(b"1", b"any", b"thing", b"4711")
    assert found(lines, agent) == "sub"
    unknown = found(lines, agent._replace(subscriber_id=b"4712"))
    assert unknown is not None
    assert line_text(unknown) == "harbour/subscriber:4712"


@pytest.mark.parametrize(
    ("fallback", "text"),
    [
        (("client_id", "hardware"), "192.0.2.1/client:%FF%00%01"),
        (("hardware",), "192.0.2.1/mac:%01%00%00%00%00%00%09"),
        ((), None),
    ],
)
def test_without_the_relay_s_word_the_client_stands_for_its_line(
    fallback: Any, text: str | None
) -> None:
    """RFC 4361 identifiers are opaque; an area may believe none of it."""
    lines = Lines(network(area={"line_fallback": fallback}))
    line = found(lines, Agent(), client_id=b"\xff\0\1", mac=9)
    assert text == (None if line is None else line_text(line))


def test_an_unknown_line_is_qualified_by_its_relay() -> None:
    """The same circuit id behind two relays is two lines, unless the area says not."""
    relays = tuple(
        Relay(name=f"relay-{n}", area="harbour", giaddr=f"192.0.2.{n}") for n in (1, 2)
    )
    agent = Agent(b"1", b"c")
    for key, count in ((("relay", "circuit_id"), 2), (("circuit_id",), 1)):
        area = {"line_key": key}
        lines = Lines(network(relay=relays, area=area, line=(), service=()))
        asked = {found(lines, agent, giaddr=GIADDR + n) for n in (0, 1)}
        assert len(asked) == count


def test_another_area_s_lines_are_not_found() -> None:
    """A relay speaks for its own area."""
    elsewhere = network(
        area=None,
        relay=(Relay(name="relay-1", area="harbour", giaddr="192.0.2.1"),),
        line=(Line(name="away", area="hills", circuit_id="line-0"),),
        service=(),
    )
    both = type(elsewhere)(
        area=(Area(name="harbour"), Area(name="hills")),
        relay=elsewhere.relay,
        line=elsewhere.line,
    )
    line = found(Lines(both), Agent(b"1", b"line-0"))
    assert line is not None
    assert line_text(line) == "192.0.2.1/circuit:line-0"


@given(st.binary(min_size=1, max_size=255), st.binary(max_size=255))
def test_a_line_without_a_name_can_be_written_and_read(
    circuit: bytes, remote: bytes
) -> None:
    """Whatever octets a relay sends, the text is printable and means the same."""
    line = found(Lines(network(line=(), service=())), Agent(b"1", circuit, remote))
    assert isinstance(line, bytes)
    text = line_text(line)
    assert text.isprintable()
    assert line_of(text) == line
    assert line_of("a line's name") == "a line's name"
