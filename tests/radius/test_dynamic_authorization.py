"""CoA and Disconnect: times, states and attributes, without a NAS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.plant import Profile
from radius.dynamic_authorization import (
    FAILED,
    NEXT,
    Event,
    Kind,
    State,
    Target,
    request_attributes,
    step,
    waits,
)
from radius.profiles import PROFILES, Grant, Rates
from radius.proxying import attributes_of

TARGET = Target("bob", "192.0.2.1", "S1", "100.64.0.1", "00-00-5E-00-53-01", "p1")
ENDS = {State.NACKED, State.TIMED_OUT, State.GONE, State.VERIFIED, State.UNVERIFIED}


@given(st.tuples(*[st.floats(-1, 1)] * 5))
def test_requests_are_sent_again_in_the_times_of_rfc_5080_section_2_2_1(
    jitters: tuple[float, ...],
) -> None:
    """IRT 2 s, doubled, MRT 16 s, MRC 5, MRD 30 s, each with a tenth of jitter."""
    found = waits(jitters)

    assert len(found) <= 5
    assert sum(found) == pytest.approx(30.0, abs=1e-9)
    for wait, base in zip(found[:-1], (2, 4, 8, 16), strict=False):
        assert 0.9 * base - 1e-9 <= wait <= 1.1 * base + 1e-9


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_every_path_of_a_command_ends_and_stays_there(events: list[Event]) -> None:
    """A late or repeated answer changes nothing any more."""
    state = State.QUEUED
    for event in events:
        after = step(state, event)
        if state in ENDS:
            assert state == after
        state = after


def test_the_table_leads_from_every_state_to_an_end() -> None:
    """No state but an end is without a way on."""
    assert set(State) - ENDS == {state for state, _ in NEXT}
    assert ENDS >= FAILED
    assert State.GONE not in FAILED


@pytest.mark.parametrize("profile", PROFILES)
def test_a_disconnect_has_only_what_names_the_session_rfc_5176_section_3(
    profile: Profile,
) -> None:
    """Two names at least, and nothing to change."""
    grant = Grant(rates=Rates(1, 2), session_timeout=60)
    octets = request_attributes(Kind.DISCONNECT, profile, TARGET, grant, 1_790_000_000)
    kinds = [kind for kind, _ in attributes_of(octets)]

    assert set(kinds) <= set(PROFILES[profile].session)
    assert 44 in kinds
    assert len(kinds) >= 3


def test_a_change_has_rates_and_never_an_address() -> None:
    """An address cannot change while a session lasts; the event has its time."""
    grant = Grant(rates=Rates(1, 2), pool="p", framed_ip_address="192.0.2.9")
    octets = request_attributes(Kind.COA, "generic", TARGET, grant, 1_790_000_000)
    found = dict(attributes_of(octets))

    assert 26 in found
    assert 88 not in found
    assert 8 not in found
    assert (1_790_000_000).to_bytes(4) == found[55][2:]
    assert bytes((192, 0, 2, 1)) == found[4][2:]


NAS_IP, NAS_ID, FRAMED, CALLING, SESSION, TIME = 4, 32, 8, 31, 44, 55


@pytest.mark.parametrize(
    ("profile", "changed", "kinds"),
    [
        ("generic", {}, [SESSION, NAS_IP, TIME, FRAMED]),
        ("generic", {"nas_identity": "bng1"}, [SESSION, NAS_ID, TIME, FRAMED]),
        ("generic", {"framed_ip_address": None}, [SESSION, NAS_IP, TIME, CALLING]),
        ("mikrotik", {}, [SESSION, FRAMED]),
        ("mikrotik", {"framed_ip_address": None}, [SESSION, CALLING]),
    ],
)
def test_a_session_without_user_name_is_named_by_its_address_or_device(
    profile: Profile, changed: dict[str, str | None], kinds: list[int]
) -> None:
    """RFC 5176 section 3, of IPoE: the session's id and its NAS first, then one more,
    in the octets that the NAS sent; never an empty User-Name."""
    target = TARGET._replace(user_name=None, **changed)
    octets = request_attributes(Kind.DISCONNECT, profile, target, None, 1_790_000_000)
    found = dict(attributes_of(octets))

    assert kinds == list(found)
    assert found.get(CALLING, b"  00-00-5E-00-53-01")[2:] == b"00-00-5E-00-53-01"
