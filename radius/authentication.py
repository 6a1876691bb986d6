"""Who asks, and whether the credentials are right: decided from values alone.

A request is matched to a subscriber by its User-Name, or by the line and device that
the NAS vouches for (Call-Check, RFC 2865 section 5.6). Then its one credential is
compared. What only a hash can tell is not decided here: the answer is then
``HashNeeded``, and whoever has threads asks argon2.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from config.plant import Nas
from radius import mschap
from radius.access_request import CALL_CHECK, AccessRequest, Refusal
from radius.mac_address import mac_address
from radius.packet import attribute
from radius.passwords import hide_salted, is_chap_right, reveal_password
from radius.profiles import vendor_attribute
from radius.subscribers import Subscriber, Subscribers

_MICROSOFT = 311
_MPPE_ANY_ENCRYPTION = b"\x00\x00\x00\x01"
_MPPE_128_BITS = b"\x00\x00\x00\x04"


class Right(NamedTuple):
    """The credential is right; ``attributes`` belong into the Access-Accept."""

    attributes: bytes = b""


class Wrong(NamedTuple):
    """It is not; ``attributes`` belong into the Access-Reject."""

    reason: Refusal
    attributes: bytes = b""


class HashNeeded(NamedTuple):
    """The password has to be compared with an argon2 hash."""

    password: bytes
    password_hash: str


Result = Right | Wrong | HashNeeded


class Found(NamedTuple):
    """Who asks: a subscriber, or None, and whether the line itself is the proof."""

    subscriber: Subscriber | None
    by_line: bool
    refusal: Refusal | None = None


def find(
    request: AccessRequest, user: str, nas: Nas, subscribers: Subscribers
) -> Found:
    """Find the subscriber of a request."""
    subscriber = subscribers.of_user(user) if user else None
    circuit = text(request.circuit_id or request.nas_port_id)
    line = subscribers.line_of(nas.area, circuit) if circuit else None
    device = text(request.calling_station_id)
    call_check = request.service_type == CALL_CHECK
    if (call_check and not request.has_credential) or (
        subscriber is None
        and (call_check or (nas.line_authorisation and _is_own(user, circuit, device)))
    ):
        subscriber = (
            subscribers.of_line(line, device)
            if line is not None
            else subscribers.of_device(device)
        )
        return Found(subscriber, by_line=True)
    if subscriber is not None:
        if line is not None and line not in subscriber.lines:
            return Found(subscriber, by_line=False, refusal=Refusal.WRONG_LINE)
        macs = subscriber.mac_addresses
        if macs and mac_address(device) not in macs:
            return Found(subscriber, by_line=False, refusal=Refusal.WRONG_DEVICE)
    return Found(subscriber, by_line=False)


def _is_own(user: str, circuit: str, device: str) -> bool:
    """Say whether a User-Name is but the circuit or the device of its own request."""
    if user in (circuit, device):
        return bool(user)
    mac = mac_address(user)
    return mac is not None and mac == mac_address(device)


def text(octets: bytes) -> str:
    """Read text; what is not UTF-8 matches nobody and is shown escaped."""
    return octets.decode("utf-8", "backslashreplace")


def check(
    request: AccessRequest,
    packet: bytes,
    secret: bytes,
    subscriber: Subscriber,
    salt: int,
) -> Result:
    """Compare the credential; ``salt`` (0 to 32766) hides keys in the answer."""
    password = subscriber.password
    if request.user_password is not None:
        given = reveal_password(request.user_password, secret, packet[4:20])
        if password is not None:
            right = hmac.compare_digest(given, password)
            return Right() if right else Wrong(Refusal.WRONG_CREDENTIALS)
        if subscriber.password_hash is not None:
            return HashNeeded(given, subscriber.password_hash)
        return Wrong(Refusal.CREDENTIAL_FORM)
    if request.chap_password is not None:
        if password is None:
            return Wrong(Refusal.CREDENTIAL_FORM)
        # RFC 2865 section 5.40: without a CHAP-Challenge the authenticator is it.
        challenge = request.chap_challenge or packet[4:20]
        right = is_chap_right(request.chap_password, challenge, password)
        return Right() if right else Wrong(Refusal.WRONG_CREDENTIALS)
    if request.mschap2_response is not None:
        return _check_mschap(request, packet, secret, subscriber, salt)
    return Wrong(Refusal.NO_CREDENTIALS)


def _check_mschap(
    request: AccessRequest,
    packet: bytes,
    secret: bytes,
    subscriber: Subscriber,
    salt: int,
) -> Result:
    response, challenge = request.mschap2_response, request.mschap_challenge
    assert response is not None
    failed = vendor_attribute(_MICROSOFT, 2, mschap.failure(response[0], challenge))
    if subscriber.password is None:
        return Wrong(Refusal.CREDENTIAL_FORM, failed)
    if subscriber.nt_hash is None:
        subscriber.nt_hash = mschap.password_hash(text(subscriber.password))
    proof = mschap.check_response(
        response, challenge, request.user_name, subscriber.nt_hash
    )
    if proof is None:
        return Wrong(Refusal.WRONG_CREDENTIALS, failed)
    authenticator = packet[4:20]
    return Right(
        vendor_attribute(_MICROSOFT, 26, response[:1] + proof.success)
        + vendor_attribute(_MICROSOFT, 7, _MPPE_ANY_ENCRYPTION)
        + vendor_attribute(_MICROSOFT, 8, _MPPE_128_BITS)
        + vendor_attribute(
            _MICROSOFT, 16, hide_salted(proof.send_key, secret, authenticator, salt)
        )
        + vendor_attribute(
            _MICROSOFT,
            17,
            hide_salted(proof.receive_key, secret, authenticator, salt + 1),
        )
    )


def eap_reject(failure: bytes) -> bytes:
    """Give the attribute of an Access-Reject that refuses EAP (RFC 3579 2.6.3)."""
    return attribute(79, failure)
