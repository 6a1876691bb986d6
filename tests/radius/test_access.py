"""Access-Requests and what each is answered with, line by line of the RFCs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from access_site import (
    CHALLENGE,
    CLASS_KEY,
    KEY,
    NETWORK,
    NT_RESPONSE,
    PEER,
    SECRET,
    AccessSite,
    access_request,
    chap,
    found,
    pap,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radius import class_token
from radius.packet import Code, attribute, is_response_authentic
from radius.passwords import hide_password, reveal_salted
from radius.profiles import vendor_attribute
from services.credentials import hash_password, seal_password

ACCEPT, REJECT = Code.ACCESS_ACCEPT, Code.ACCESS_REJECT
USER = attribute(1, b"sub101@aurora.example")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[AccessSite]:
    """A site with one PPPoE service."""
    made = AccessSite(tmp_path)
    yield made
    made.close()


def test_pap_is_accepted_with_what_the_service_gets(site: AccessSite) -> None:
    """Pool, interim interval and Class (RFC 2865 sections 5.2, 5.25; 2869 5.16)."""
    answer = site.answer(pap())

    assert ACCEPT == answer[0]
    assert [b"aurora-harbour"] == found(answer, 88)
    assert [struct.pack("!I", 600)] == found(answer, 85)
    (class_,) = found(answer, 25)
    token = class_token.read(CLASS_KEY, class_)
    assert token is not None
    assert "aurora-101" == token.service


@pytest.mark.parametrize("challenge", [None, b"0123456789"])
def test_chap_is_compared_with_challenge_or_authenticator_rfc_2865_section_5_40(
    site: AccessSite, challenge: bytes | None
) -> None:
    """Without CHAP-Challenge the Request Authenticator is the challenge."""
    assert ACCEPT == site.answer(chap(challenge=challenge))[0]
    assert REJECT == site.answer(chap(password="wrong", challenge=challenge))[0]


def mschap(user: str, response: bytes = NT_RESPONSE) -> bytes:
    """Make the request of RFC 2759's example."""
    return access_request(
        attribute(1, user.encode()),
        vendor_attribute(311, 11, CHALLENGE),
        vendor_attribute(311, 25, b"\x07\x00" + PEER + bytes(8) + response),
    )


def vendor(answer: bytes, number: int, kind: int) -> bytes:
    """Give the one value of a vendor's attribute."""
    (value,) = [
        whole[6:]
        for whole in found(answer, 26)
        if int.from_bytes(whole[:4]) == number and whole[4] == kind
    ]
    return value


def test_mschapv2_is_answered_with_success_and_keys_rfc_2548(tmp_path: Path) -> None:
    """MS-CHAP2-Success with the RFC's own example, and MPPE keys only the NAS reads."""
    service = {"user_names": ["User"], "password": "clientPass"}
    site = AccessSite(tmp_path, services={"aurora-101": service})
    request = mschap("User")

    answer = site.answer(request)

    assert ACCEPT == answer[0]
    success = vendor(answer, 311, 26)
    assert b"\x07S=407A5589115FD0D6209F510FE9C04566932CDA56" == success
    key = reveal_salted(vendor(answer, 311, 16), SECRET, request[4:20])
    assert key == bytes.fromhex("8B7CDC149B993A1BA118CB153F56DCCB")
    site.close()


def test_a_wrong_mschapv2_response_gets_error_691_rfc_2548_section_2_1_5(
    tmp_path: Path,
) -> None:
    """MS-CHAP-Error in the reject, and no second try."""
    service = {"user_names": ["User"], "password": "clientPass"}
    site = AccessSite(tmp_path, services={"aurora-101": service})

    answer = site.answer(mschap("User", bytes(24)))

    assert REJECT == answer[0]
    assert vendor(answer, 311, 2).startswith(b"\x07E=691 R=0 C=5B5D7C7D")
    site.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (access_request(USER), "no_credentials"),
        (
            access_request(USER, attribute(2, bytes(16)), attribute(3, bytes(17))),
            "two_credentials",
        ),
        (
            access_request(USER, attribute(2, bytes(16)), attribute(2, bytes(16))),
            "two_credentials",
        ),
        (access_request(USER, attribute(2, bytes(15))), "password_length"),
        (access_request(USER, attribute(2, bytes(144))), "password_length"),
        (access_request(USER, attribute(3, bytes(16))), "chap_length"),
        (access_request(USER, attribute(24, b"whose?")), "state"),
        (pap("sub101@aurora.example", "arctangent", attribute(24, b"?")), "state"),
        (pap("nobody"), "unknown_user"),
        (pap(password="wrong"), "wrong_credentials"),
        (access_request(USER, vendor_attribute(311, 1, bytes(50))), "mschap_1"),
        (access_request(USER, vendor_attribute(311, 25, bytes(50))), "mschap_length"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_what_rfc_2865_section_4_1_forbids_is_rejected(
    site: AccessSite, request_: bytes, reason: str
) -> None:
    """One of User-Password, CHAP-Password and State, of the right size, and right."""
    assert [] == site.send(request_)
    (answer,) = site.wait(1.0)

    assert REJECT == answer[0]
    assert {reason: 1} == site.refused()
    assert [] == found(answer, 24)


def test_authorize_only_is_rejected_rfc_5080_section_2_1_1(site: AccessSite) -> None:
    """Without a State of ours nothing is told about any user, even with a password."""
    only = attribute(6, struct.pack("!I", 17))

    for request in (access_request(USER, only), pap("nobody", "x", only)):
        answer = site.answer(request)
        assert REJECT == answer[0]
        assert 38 == len(answer)
    assert {"authorize_only": 2} == site.refused()


def test_eap_is_refused_with_an_eap_failure_rfc_3579_section_2_6_3(
    site: AccessSite,
) -> None:
    """The Failure has the identifier of the response; without a signature: silence."""
    identity = attribute(79, b"\x02\x2a\x00\x0b\x01sub101")
    answer = site.answer(access_request(USER, identity))

    assert REJECT == answer[0]
    assert [b"\x04\x2a\x00\x04"] == found(answer, 79)
    assert [] == site.send(access_request(USER, identity, signed=False))
    assert {"message_authenticator_missing": 1} == site.dropped()


def test_every_answer_is_signed_first_and_echoes_proxy_states_last(
    site: AccessSite,
) -> None:
    """CVE-2024-3596, RFC 2865 section 5.33: in accept and reject alike, in order."""
    states = attribute(33, b"one") + attribute(33, b"\0two")
    for password in ("arctangent", "wrong"):
        answer = site.answer(pap("sub101@aurora.example", password, states))
        assert answer.endswith(states)
        assert b"\x50\x12" == answer[20:22]


def test_a_retransmission_gets_the_same_octets_rfc_5080_section_2_2_2(
    site: AccessSite,
) -> None:
    """The answer is kept: Class and keys are the same, and no second session counts."""
    request = pap()

    first, again = site.answer(request), site.answer(request)

    assert first == again
    assert 1 == site.statistics.duplicates["bng1"]


def test_a_retransmission_of_what_is_under_way_is_dropped(site: AccessSite) -> None:
    """While the reject waits there is one answer to come, not two."""
    request = pap(password="wrong")

    assert [] == site.send(request, request)
    assert 1 == len(site.wait(1.0))
    assert {"in_progress": 1} == site.dropped()


def test_what_is_forged_does_not_touch_the_kept_answers_rfc_5080_section_2_2_2(
    site: AccessSite,
) -> None:
    """A bad signature on the same identifier and authenticator is not a duplicate."""
    request = pap(authenticator=bytes(range(16)))
    forged = request[:22] + bytes(16) + request[38:]

    assert [] == site.send(forged)
    assert ACCEPT == site.answer(request)[0]
    assert {"message_authenticator": 1} == site.dropped()


def test_the_same_identifier_with_another_authenticator_is_a_new_request(
    site: AccessSite,
) -> None:
    """An identifier comes round; what it asked before is of no matter."""
    assert ACCEPT == site.answer(pap(identifier=9))[0]
    assert REJECT == site.answer(pap(password="wrong", identifier=9))[0]


def test_a_reject_waits_a_second_and_holds_nobody_up(site: AccessSite) -> None:
    """Guessing is slow; accepts pass by the rejects that wait."""
    wrong, right = pap(password="wrong", identifier=1), pap(identifier=2)

    assert [2] == [answer[1] for answer in site.send(wrong, right)]
    assert [] == site.wait(0.9)
    assert [1] == [answer[1] for answer in site.wait(0.1)]


def test_rejects_that_wait_are_bounded(tmp_path: Path) -> None:
    """Beyond them there is silence, and the NAS asks again."""
    site = AccessSite(tmp_path, settings={"waiting_rejects": 5})
    requests = [pap(password="wrong", identifier=i) for i in range(9)]

    site.send(*requests)

    assert 5 == len(site.wait(1.0))
    assert {"queue_full": 4} == site.dropped()
    site.close()


def test_guessing_is_limited_per_user_and_device(tmp_path: Path) -> None:
    """After the limit even the right password is refused, from that device alone."""
    site = AccessSite(tmp_path, settings={"failures_per_user": 3})
    user, right = "sub101@aurora.example", "arctangent"
    here, there = attribute(31, b"00-00-5E-00-53-01"), attribute(31, b"elsewhere")
    for _ in range(3):
        site.answer(pap(user, "guess", here))

    assert REJECT == site.answer(pap(user, right, here))[0]
    assert ACCEPT == site.answer(pap(user, right, there))[0]
    assert {"wrong_credentials": 3, "failures": 1} == site.refused()
    site.wait(61)
    assert ACCEPT == site.answer(pap(user, right, here))[0]
    site.close()


def test_guessing_is_limited_per_nas(tmp_path: Path) -> None:
    """Names that change with each guess do not help."""
    site = AccessSite(tmp_path, settings={"failures_per_nas": 3})
    for number in range(3):
        site.answer(pap(f"guess-{number}"))

    assert REJECT == site.answer(pap())[0]
    site.close()


def test_a_hashed_password_is_checked_in_a_thread_once(tmp_path: Path) -> None:
    """argon2 for the first time; known by a digest after that, until it changes."""
    hashed = {"password": None, "password_hash": hash_password("arctangent")}
    site = AccessSite(tmp_path, services={"aurora-101": hashed})

    assert [] == site.send(pap())
    assert 1 == site.finish_hashes()
    assert [ACCEPT] == [answer[0] for answer in site.wire.sent]
    assert ACCEPT == site.answer(pap())[0]
    assert 0 == site.finish_hashes()
    site.send(pap(password="wrong"))
    site.finish_hashes()
    assert [REJECT] == [answer[0] for answer in site.wait(1.0)]
    changed = {"password_hash": hash_password("another")}
    body = {**site.subscribers._objects["service"]["aurora-101"], **changed}
    site.subscribers.change([("service", "aurora-101", body)])
    site.send(pap())
    assert 1 == site.finish_hashes()
    assert [REJECT] == [answer[0] for answer in site.wait(1.0)]
    site.close()


def test_passwords_beyond_those_that_may_wait_are_dropped(tmp_path: Path) -> None:
    """A storm is bounded; who is dropped asks again."""
    hashed = {"password": None, "password_hash": hash_password("arctangent")}
    site = AccessSite(tmp_path, services={"aurora-101": hashed})

    site.send(*[pap(identifier=i) for i in range(5)])

    assert {"queue_full": 3} == site.dropped()
    assert 2 == site.finish_hashes()
    site.close()


def test_chap_against_a_hash_is_refused_with_its_own_reason(tmp_path: Path) -> None:
    """RFC 2865 section 2.2: CHAP needs the password itself; the operator is told."""
    hashed = {"password": None, "password_hash": hash_password("arctangent")}
    site = AccessSite(tmp_path, services={"aurora-101": hashed})

    assert REJECT == site.answer(chap())[0]
    assert {"credential_form": 1} == site.refused()
    site.close()


def test_a_sealed_password_is_good_for_pap_and_chap(tmp_path: Path) -> None:
    """AES-GCM, bound to ISP and service."""
    sealed = seal_password(
        KEY, isp="aurora", service="aurora-101", password="arctangent", nonce=bytes(12)
    )
    service = {"password": None, "password_sealed": sealed}
    site = AccessSite(tmp_path, services={"aurora-101": service})

    assert ACCEPT == site.answer(pap())[0]
    assert ACCEPT == site.answer(chap())[0]
    site.close()


def test_a_change_of_service_is_effective_with_the_next_request(
    site: AccessSite,
) -> None:
    """New rates, suspension, the end: from the change feed, without a restart."""
    body = site.subscribers._objects["service"]["aurora-101"]
    before = site.answer(pap())
    site.subscribers.change([("service", "aurora-101", {**body, "down_kbps": 7})])
    after = site.answer(pap())
    site.subscribers.change([("service", "aurora-101", {**body, "state": "suspended"})])
    suspended = site.answer(pap())
    site.subscribers.change([("service", "aurora-101", None)])
    gone = site.answer(pap())

    assert struct.pack("!I", 500_000_000) == vendor(before, 14122, 8)
    assert struct.pack("!I", 7_000) == vendor(after, 14122, 8)
    assert [REJECT, REJECT] == [suspended[0], gone[0]]
    assert {"suspended": 1, "unknown_user": 1} == site.refused()


def test_unknown_and_suspended_get_the_walled_garden_where_there_is_one(
    tmp_path: Path,
) -> None:
    """Its pool and filter, no Class and no rate; a wrong password still is a reject."""
    nas = {"walled_garden": True, "walled_garden_filter": "garden"}
    suspended = {"state": "suspended"}
    site = AccessSite(tmp_path, nas=nas, services={"aurora-101": suspended})

    for request in (pap("nobody"), pap(), chap()):
        answer = site.answer(request)
        assert (ACCEPT, [b"garden"], [b"garden"]) == (
            answer[0],
            found(answer, 88),
            found(answer, 11),
        )
        assert [] == found(answer, 25)
    assert REJECT == site.answer(pap(password="wrong"))[0]
    site.close()


CIRCUIT = vendor_attribute(3561, 1, b"ge-0/0/1:101")
CALL_CHECK = attribute(6, struct.pack("!I", 10))


@pytest.mark.parametrize(
    "says", [CIRCUIT, attribute(87, b"ge-0/0/1:101")], ids=["circuit", "port"]
)
def test_a_call_check_is_authorised_by_its_line_rfc_2865_section_5_6(
    tmp_path: Path, says: bytes
) -> None:
    """Agent-Circuit-Id of RFC 4679 or NAS-Port-Id; no password, no State."""
    ipoe = {"user_names": [], "password": None}
    site = AccessSite(tmp_path, services={"aurora-101": ipoe})

    answer = site.answer(access_request(CALL_CHECK, says))

    assert ACCEPT == answer[0]
    assert 1 == len(found(answer, 25))
    site.close()


def test_a_call_check_is_authorised_by_its_device(tmp_path: Path) -> None:
    """However the NAS writes the MAC address, and no other device."""
    service = {"user_names": [], "mac_addresses": ["00:00:5e:00:53:01"]}
    site = AccessSite(tmp_path, services={"aurora-101": service})
    for device in (b"00-00-5E-00-53-01", b"0000.5e00.5301", b"00005e005301"):
        request = access_request(CALL_CHECK, attribute(31, device))
        assert ACCEPT == site.answer(request)[0]
    other = attribute(31, b"00-00-5E-00-53-02")

    assert REJECT == site.answer(access_request(CALL_CHECK, other))[0]
    assert REJECT == site.answer(access_request(CALL_CHECK, CIRCUIT, other))[0]
    site.close()


def test_a_user_name_that_is_the_circuit_counts_only_where_the_nas_is_trusted(
    tmp_path: Path,
) -> None:
    """Without line_authorisation anybody could say so in PPP."""
    ipoe = {"user_names": [], "password": None}
    request = pap("ge-0/0/1:101", "shared", CIRCUIT)
    for trusted, code in ((False, REJECT), (True, ACCEPT)):
        nas = {"line_authorisation": trusted}
        site = AccessSite(
            tmp_path / str(trusted), nas=nas, services={"aurora-101": ipoe}
        )
        assert code == site.answer(request)[0]
        site.close()


def test_a_user_is_let_in_on_his_own_line_alone(site: AccessSite) -> None:
    """A circuit that is another line's is refused; an unknown one says nothing."""
    site.subscribers.change(
        [
            (
                "line",
                "harbour-102",
                {"name": "harbour-102", "area": "harbour", "circuit_id": "other"},
            )
        ]
    )
    user, right = "sub101@aurora.example", "arctangent"

    assert ACCEPT == site.answer(pap(user, right, CIRCUIT))[0]
    assert ACCEPT == site.answer(pap(user, right, attribute(87, b"eth7")))[0]
    other = vendor_attribute(3561, 1, b"other")
    assert REJECT == site.answer(pap(user, right, other))[0]
    assert {"wrong_line": 1} == site.refused()


def test_a_user_who_moves_is_let_in_on_both_lines(site: AccessSite) -> None:
    """Until the order that moves him says that the old one is over."""
    lines = [
        (kind, name, {"name": name, "area": "harbour", "circuit_id": circuit})
        for kind, name, circuit in (
            ("line", "harbour-102", "other"),
            ("line", "harbour-103", "third"),
        )
    ]
    service = NETWORK["service", "aurora-101"]
    moving = service | {"line": "harbour-102", "former_line": "harbour-101"}
    site.subscribers.change([*lines, ("service", "aurora-101", moving)])
    asked = [
        pap("sub101@aurora.example", "arctangent", one)
        for one in (
            CIRCUIT,
            vendor_attribute(3561, 1, b"other"),
            vendor_attribute(3561, 1, b"third"),
        )
    ]
    both = [site.answer(request)[0] for request in asked]
    site.subscribers.change(
        [("service", "aurora-101", service | {"line": "harbour-102"})]
    )

    assert [ACCEPT, ACCEPT, REJECT] == both
    again = pap("sub101@aurora.example", "arctangent", CIRCUIT)
    assert REJECT == site.answer(again)[0]


def test_an_answer_that_no_packet_holds_is_not_sent(tmp_path: Path) -> None:
    """RFC 2865 section 3: 4096 octets; what a request makes us echo is bounded."""
    site = AccessSite(tmp_path, nas={"message_authenticator": "no"})
    states = attribute(33, bytes(253)) * 15 + attribute(33, bytes(155))
    request = pap("sub101@aurora.example", "arctangent", states, signed=False)

    assert [] == site.send(request)
    assert {"long_answer": 1} == site.dropped()
    site.close()


def test_access_requests_are_dropped_on_the_accounting_port(site: AccessSite) -> None:
    """RFC 2865 section 3: a code that the port does not take is not answered."""
    serve = site.server.listen(site.wire, "accounting")
    site.wire.waiting = [(pap(), b"\x02\x00\x13\x88\x7f\x00\x00\x01" + bytes(8), b"")]
    serve()

    assert [] == site.wire.sent
    assert {"code": 1} == site.dropped()


_ATTRIBUTE = st.builds(
    attribute,
    st.integers(1, 255).filter(lambda k: k != 80),
    st.binary(min_size=1, max_size=60),
)
_CREDENTIALS = st.sampled_from(
    [
        b"",
        attribute(2, bytes(16)),
        attribute(3, bytes(17)),
        attribute(79, b"\x02\x01\x00\x05\x01"),
        vendor_attribute(311, 25, bytes(50)) + vendor_attribute(311, 11, bytes(16)),
        CALL_CHECK,
    ]
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(_CREDENTIALS, st.lists(_ATTRIBUTE, max_size=12), st.booleans())
def test_whatever_is_asked_there_is_at_most_one_answer_and_it_is_genuine(
    site: AccessSite, credential: bytes, attributes: list[bytes], signed: bool
) -> None:
    """Junk of right lengths: accepted never, for no password in it is right."""
    request = access_request(credential, *attributes, signed=signed)

    answers = site.send(request) + site.wait(1.0)

    assert len(answers) <= 1
    for answer in answers:
        assert REJECT == answer[0]
        assert is_response_authentic(answer, request, SECRET)


def test_the_example_of_rfc_2865_section_7_1_is_accepted(tmp_path: Path) -> None:
    """User nemo, telnetting to a host: an unsigned PAP request of 56 octets."""
    authenticator = bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
    site = AccessSite(
        tmp_path,
        nas={"message_authenticator": "no", "secret": "xyzzy5461"},
        services={"aurora-101": {"user_names": ["nemo"]}},
    )
    request = access_request(
        attribute(1, b"nemo"),
        attribute(2, hide_password(b"arctangent", b"xyzzy5461", authenticator)),
        attribute(4, bytes((192, 168, 1, 16))),
        attribute(5, struct.pack("!I", 3)),
        authenticator=authenticator,
        identifier=0,
        signed=False,
    )

    (answer,) = site.send(request)

    assert "010000380f403f94" == request[:8].hex()
    assert ACCEPT == answer[0]
    assert is_response_authentic(answer, request, b"xyzzy5461")
    site.close()


def test_old_and_new_secret_hold_at_once(tmp_path: Path) -> None:
    """A signed request says by its signature which of the two it was made with."""
    nas = {"secret": None, "secrets": [SECRET.decode(), "the secret before this"]}
    site = AccessSite(tmp_path, nas=nas)
    old = b"the secret before this"
    request = pap(secret=old)

    (answer,) = site.send(request)

    assert ACCEPT == answer[0]
    assert is_response_authentic(answer, request, old)
    site.close()
