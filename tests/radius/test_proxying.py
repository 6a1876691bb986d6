"""Requests passed on and answers passed back, octet by octet."""

from __future__ import annotations

import hashlib
import os

from access_site import SECRET, access_request, chap, found, is_signed_first, pap
from hypothesis import given
from hypothesis import strategies as st

from radius.access_reply import access_reply
from radius.home_server import DEAD_SECONDS, PROBE_SECONDS, REVIVE_SECONDS, Liveness
from radius.packet import Code, attribute
from radius.passwords import hide_salted, reveal_password, reveal_salted
from radius.profiles import Grant, Rates, vendor_attribute
from radius.proxying import attributes_of, forwarded, merged, returned, status_server

HOME = b"the secret of a home server"
AUTHENTICATOR = bytes(range(16))
OURS = b"sixteen octets.."


def forward(packet: bytes) -> bytes:
    """Pass a request on."""
    return forwarded(
        packet,
        identifier=9,
        authenticator=AUTHENTICATOR,
        secret=SECRET,
        home_secret=HOME,
        proxy_state=OURS,
    )


_OTHERS = st.lists(
    st.builds(
        attribute,
        st.integers(1, 255).filter(lambda kind: kind not in (2, 3, 80)),
        st.binary(min_size=1, max_size=40),
    ),
    max_size=20,
)


@given(_OTHERS)
def test_what_we_do_not_know_goes_on_as_it_came_rfc_6929_section_5_2(
    others: list[bytes],
) -> None:
    """Same octets, same order; our Proxy-State behind all of them."""
    passed = forward(access_request(*others))
    whole = [whole for _, whole in attributes_of(passed[38:])]

    assert [*others, attribute(33, OURS)] == whole
    assert is_signed_first(passed, passed, HOME)


def test_a_password_is_hidden_anew_rfc_2865_section_2_3() -> None:
    """With the home server's secret and the new authenticator."""
    passed = forward(pap(password="home word"))

    assert b"home word" == reveal_password(found(passed, 2)[0], HOME, AUTHENTICATOR)


def test_the_challenge_of_chap_goes_along_rfc_2865_section_5_40() -> None:
    """The new authenticator is not what the subscriber was challenged with."""
    request = chap()

    assert [request[4:20]] == found(forward(request), 60)
    assert [b"own"] == found(forward(chap(challenge=b"own")), 60)


def reply(request: bytes, *attributes: bytes, signed: bool = True) -> bytes:
    """Answer as a home server does."""
    body = b"".join(attributes)
    if signed:
        return access_reply(Code.ACCESS_ACCEPT, request, HOME, body, b"")
    head = bytes((2, request[1])) + (20 + len(body)).to_bytes(2)
    digest = hashlib.md5(head + request[4:20] + body + HOME).digest()
    return head + digest + body


def back(request: bytes, answer: bytes, *, must_sign: bool = True) -> bytes | None:
    """Pass an answer back; give its attributes."""
    taken = returned(
        answer,
        request,
        secret=SECRET,
        home_secret=HOME,
        authenticator=bytes(16),
        proxy_state=OURS,
        must_sign=must_sign,
    )
    return None if taken is None else taken.attributes


def test_an_answer_comes_back_with_its_keys_hidden_for_the_nas() -> None:
    """MPPE keys and tunnel passwords; our Proxy-State is taken off."""
    request = forward(pap())
    hidden = hide_salted(b"sixteen octets!!", HOME, AUTHENTICATOR, 5)
    answer = reply(
        request,
        vendor_attribute(311, 16, hidden),
        attribute(69, b"\x01" + hidden),
        attribute(33, OURS),
    )

    attributes = back(request, answer)

    assert attributes is not None
    (_, key), (_, tunnel) = attributes_of(attributes)
    assert b"sixteen octets!!" == reveal_salted(key[8:], SECRET, bytes(16))
    assert b"sixteen octets!!" == reveal_salted(tunnel[3:], SECRET, bytes(16))


def test_an_answer_that_may_be_forged_is_none_cve_2024_3596() -> None:
    """Unsigned, without our Proxy-State, changed, or to another request."""
    request, other = forward(pap()), forward(pap())
    ours = attribute(33, OURS)
    good = reply(request, ours)

    assert b"" == back(request, good)
    assert back(request, reply(request, ours, signed=False)) is None
    assert b"" == back(request, reply(request, ours, signed=False), must_sign=False)
    assert back(request, reply(request)) is None
    assert back(request, good[:-1] + b"?") is None
    assert back(request, reply(other[:4] + os.urandom(16) + other[20:], ours)) is None


@given(st.binary(max_size=120))
def test_no_octets_of_a_home_server_break_anything(octets: bytes) -> None:
    """What is no answer is none."""
    assert back(forward(pap()), octets) is None


def test_the_isp_says_addresses_and_the_network_rates() -> None:
    """Its rates are dropped, its address is in the place of our pool."""
    theirs = attribute(8, bytes(4)) + vendor_attribute(14988, 8, b"9g/9g")
    both = merged(theirs, Grant(rates=Rates(1, 2), pool="ours"), "mikrotik")
    kinds = [kind for kind, _ in attributes_of(both)]

    assert [8, 26] == kinds
    assert b"1k/2k" in both


def test_a_server_is_dead_after_silence_and_alive_after_a_word() -> None:
    """RFC 5997 section 4.4: probed while dead, asked again once it speaks."""
    server = Liveness()
    server.asked(0.0)
    server.lost(5.0)
    assert server.is_alive(5.0)
    server.lost(DEAD_SECONDS)
    assert not server.is_alive(DEAD_SECONDS)
    assert server.wants_probe(DEAD_SECONDS)
    assert not server.wants_probe(DEAD_SECONDS + PROBE_SECONDS - 1)
    server.answered()
    assert server.is_alive(DEAD_SECONDS + 1)


def test_a_server_that_knows_no_status_server_gets_another_chance() -> None:
    """After a minute it is asked about users again."""
    server = Liveness()
    server.asked(0.0)
    server.lost(DEAD_SECONDS)

    assert not server.is_alive(DEAD_SECONDS + REVIVE_SECONDS - 1)
    assert server.is_alive(DEAD_SECONDS + REVIVE_SECONDS)


def test_a_probe_is_signed_rfc_5997_section_3() -> None:
    """Nothing but the Message-Authenticator."""
    probe = status_server(7, AUTHENTICATOR, HOME)

    assert (12, 7, 38) == (probe[0], probe[1], len(probe))
    assert is_signed_first(probe, probe, HOME)
