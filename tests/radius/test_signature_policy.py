"""BlastRADIUS (CVE-2024-3596): what may come unsigned, and from whom."""

from __future__ import annotations

import hmac
import itertools
from pathlib import Path

import pytest
from access_site import AccessSite, access_request, pap
from hypothesis import given
from hypothesis import strategies as st

from radius.packet import Code, attribute, hmac_md5
from radius.signature_policy import UNSIGNED, unsigned
from storage.access_state import AccessState

ACCEPT = Code.ACCESS_ACCEPT
STATE = attribute(33, b"a prefix that an attacker chose")
USER, RIGHT = "sub101@aurora.example", "arctangent"


@pytest.mark.parametrize(
    ("policy", "plain", "with_proxy_state"),
    [
        ("require", [], []),
        ("limit-proxy-state", [ACCEPT], []),
        ("learn", [ACCEPT], []),
        ("no", [ACCEPT], [ACCEPT]),
    ],
)
def test_unsigned_requests_are_answered_as_the_policy_says(
    tmp_path: Path, policy: str, plain: list[int], with_proxy_state: list[int]
) -> None:
    """The attack needs a Proxy-State of its own in an unsigned request."""
    site = AccessSite(tmp_path, nas={"message_authenticator": policy})

    assert plain == [a[0] for a in site.send(pap(signed=False))]
    attacked = pap(USER, RIGHT, STATE, signed=False)
    assert with_proxy_state == [a[0] for a in site.send(attacked)]
    assert [ACCEPT] == [a[0] for a in site.send(pap(USER, RIGHT, STATE))]
    assert 2 == site.statistics.unsigned["bng1"]
    site.close()


def test_signing_is_required_unless_the_operator_says_otherwise(
    tmp_path: Path,
) -> None:
    """The default of a NAS that says nothing."""
    site = AccessSite(tmp_path)

    assert [] == site.send(pap(signed=False))
    assert {"message_authenticator_missing": 1} == site.dropped()
    site.close()


def test_what_was_learned_holds_for_ever(tmp_path: Path) -> None:
    """One signed request, and unsigned ones are over: also after a restart."""
    nas = {"message_authenticator": "learn"}
    site = AccessSite(tmp_path, nas=nas)
    assert 1 == len(site.send(pap(signed=False)))
    site.send(pap())
    assert [] == site.send(pap(signed=False))
    site.close()

    again = AccessSite(tmp_path, nas=nas)
    assert [] == again.send(pap(signed=False))
    again.close()


def test_nothing_is_learned_from_a_forged_signature(tmp_path: Path) -> None:
    """Else anybody could lock an old NAS out."""
    site = AccessSite(tmp_path, nas={"message_authenticator": "learn"})

    site.send(pap(secret=b"somebody else's secret"))

    assert set() == site.state.learned
    assert 1 == len(site.send(pap(signed=False)))
    site.close()


def test_nothing_is_learned_of_a_range(tmp_path: Path) -> None:
    """Behind a prefix there may be one NAS that signs and one that cannot."""
    nas = {"message_authenticator": "learn", "address": "127.0.0.0/8"}
    site = AccessSite(tmp_path, nas=nas)

    site.send(pap())

    assert set() == site.state.learned
    assert 1 == len(site.send(pap(signed=False)))
    site.close()


def test_eap_and_authorize_only_are_signed_whatever_the_policy(tmp_path: Path) -> None:
    """RFC 3579 section 3.1, RFC 5176 section 3.2."""
    site = AccessSite(tmp_path, nas={"message_authenticator": "no"})
    for must in (
        attribute(79, b"\x02\x01\x00\x04"),
        attribute(6, bytes((0, 0, 0, 17))),
    ):
        assert [] == site.send(access_request(must, signed=False))
    assert {"message_authenticator_missing": 2} == site.dropped()
    site.close()


def test_a_signature_that_was_moved_behind_still_has_to_be_good(
    tmp_path: Path,
) -> None:
    """Anywhere in a request; a tampered octet anywhere is silence."""
    site = AccessSite(tmp_path)
    request = bytearray(pap())
    request[-1] ^= 1

    assert [] == site.send(bytes(request))
    assert {"message_authenticator": 1} == site.dropped()
    site.close()


def test_the_table_is_total_and_never_laxer_with_a_proxy_state() -> None:
    """Every policy, with and without; learned and must are always a refusal."""
    policies = ("require", "limit-proxy-state", "learn", "no")
    assert set(itertools.product(policies, (False, True))) == set(UNSIGNED)
    for policy, states in UNSIGNED:
        assert UNSIGNED[policy, True] is not None or UNSIGNED[policy, False] is None
        for learned in (False, True):
            assert unsigned(policy, learned=learned, has_proxy_state=states, must=True)


def test_two_workers_share_what_was_learned(tmp_path: Path) -> None:
    """The second hears of it with the next look at the file."""
    first, second = AccessState(tmp_path), AccessState(tmp_path)
    first.learn("bng1", 1)
    second.read_learned()

    assert {"bng1"} == second.learned
    first.close()
    second.close()


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=300))
def test_our_hmac_md5_is_that_of_rfc_2104(key: bytes, octets: bytes) -> None:
    """Keys of any length, the library as the judge."""
    assert hmac.digest(key, octets, "md5") == hmac_md5(key, octets)
