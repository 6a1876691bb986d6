"""What an Access-Request asks, or why it can only be refused.

One walk, one object a packet. A value that does not fit its type is ignored as if it
were absent (RFC 6929 section 2.8), but for credentials: those are then wrong. What the
RFCs forbid in an Access-Request is a refusal here, before anyone looks for the user.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

CALL_CHECK: Final = 10
AUTHORIZE_ONLY: Final = 17

_VENDOR_SPECIFIC: Final = 26
_MICROSOFT: Final = 311
_DSL_FORUM: Final = 3561


class Refusal(StrEnum):
    """Why access is refused; the words are labels of a counter and of traces."""

    NO_CREDENTIALS = "no_credentials"
    TWO_CREDENTIALS = "two_credentials"
    PASSWORD_LENGTH = "password_length"  # noqa: S105 - a reason
    CHAP_LENGTH = "chap_length"
    MSCHAP_LENGTH = "mschap_length"
    MSCHAP_1 = "mschap_1"
    STATE = "state"
    AUTHORIZE_ONLY = "authorize_only"
    EAP = "eap"
    UNKNOWN_USER = "unknown_user"
    WRONG_CREDENTIALS = "wrong_credentials"
    CREDENTIAL_FORM = "credential_form"
    SUSPENDED = "suspended"
    QUOTA_EXHAUSTED = "quota_exhausted"
    WRONG_LINE = "wrong_line"
    WRONG_DEVICE = "wrong_device"
    SIMULTANEOUS_USE = "simultaneous_use"
    FAILURES = "failures"
    HOME_SERVER = "home_server"


class AccessRequest:
    """The attributes that decide; octets as they came, empty when absent."""

    __slots__ = (
        "calling_station_id",
        "chap_challenge",
        "chap_password",
        "circuit_id",
        "eap",
        "has_eap",
        "mschap1",
        "mschap2_response",
        "mschap_challenge",
        "nas_port_id",
        "remote_id",
        "service_type",
        "state",
        "twice",
        "user_name",
        "user_password",
    )

    def __init__(self) -> None:
        self.user_name = b""
        self.user_password: bytes | None = None
        self.chap_password: bytes | None = None
        self.chap_challenge = b""
        self.service_type = 0
        self.state: bytes | None = None
        self.calling_station_id = b""
        self.nas_port_id = b""
        self.circuit_id = b""
        self.remote_id = b""
        self.mschap_challenge = b""
        self.mschap2_response: bytes | None = None
        self.mschap1 = False
        self.has_eap = False
        self.eap = b""
        self.twice = False

    @property
    def has_credential(self) -> bool:
        """Whether it has a password or the answer to a challenge."""
        return not (
            self.user_password is None
            and self.chap_password is None
            and self.mschap2_response is None
        )


def read_access_request(packet: bytes) -> AccessRequest:
    """Read a packet whose lengths are known to add up."""
    found = AccessRequest()
    place, end = 20, len(packet)
    while place < end:
        kind = packet[place]
        behind = place + packet[place + 1]
        value = packet[place + 2 : behind]
        place = behind
        if kind == 1:
            found.user_name = value
        elif kind == 2:
            found.twice |= found.user_password is not None
            found.user_password = value
        elif kind == 31:
            found.calling_station_id = value
        elif kind == 87:
            found.nas_port_id = value
        elif kind == _VENDOR_SPECIFIC:
            _read_vendor(found, value)
        elif kind == 6:
            if len(value) == 4:
                found.service_type = int.from_bytes(value)
        elif kind == 3:
            found.twice |= found.chap_password is not None
            found.chap_password = value
        elif kind == 60:
            found.chap_challenge = value
        elif kind == 24:
            found.twice |= found.state is not None
            found.state = value
        elif kind == 79:
            found.has_eap = True
            found.eap += value
    return found


def _read_vendor(found: AccessRequest, value: bytes) -> None:
    vendor = int.from_bytes(value[:4])
    if vendor not in (_MICROSOFT, _DSL_FORUM):
        return
    place, end = 4, len(value)
    while place + 2 <= end:
        kind, length = value[place], value[place + 1]
        if length < 2 or place + length > end:
            return  # opaque, and not an error
        part = value[place + 2 : place + length]
        place += length
        if vendor == _DSL_FORUM:
            if kind == 1:
                found.circuit_id = part
            elif kind == 2:
                found.remote_id = part
        elif kind == 11:
            found.mschap_challenge = part
        elif kind == 25:
            found.twice |= found.mschap2_response is not None
            found.mschap2_response = part
        elif kind == 1:
            found.mschap1 = True


def refusal(request: AccessRequest) -> Refusal | None:
    """Say what forbids an answer other than a reject, whoever the user is.

    RFC 2865 section 4.1: a User-Password, a CHAP-Password or a State, and never the
    first two together. A Call-Check needs none (section 5.6). We challenge nobody, so a
    State is not ours; with Authorize-Only it would have to be (RFC 5080 section 2.1.1).
    """
    if request.service_type == AUTHORIZE_ONLY:
        return Refusal.AUTHORIZE_ONLY
    if request.has_eap:
        return Refusal.EAP
    if request.twice:
        return Refusal.TWO_CREDENTIALS
    if request.mschap1 and request.mschap2_response is None:
        return Refusal.MSCHAP_1
    given = (
        (request.user_password is not None)
        + (request.chap_password is not None)
        + (request.mschap2_response is not None)
    )
    if given > 1:
        return Refusal.TWO_CREDENTIALS
    if request.state is not None:
        return Refusal.STATE
    if not given:
        return None if request.service_type == CALL_CHECK else Refusal.NO_CREDENTIALS
    return _wrong_size(request)


def _wrong_size(request: AccessRequest) -> Refusal | None:
    password, chap = request.user_password, request.chap_password
    if password is not None and (len(password) % 16 or not 16 <= len(password) <= 128):
        return Refusal.PASSWORD_LENGTH
    if chap is not None and len(chap) != 17:
        return Refusal.CHAP_LENGTH
    response = request.mschap2_response
    if response is not None and (
        len(response) != 50 or len(request.mschap_challenge) != 16
    ):
        return Refusal.MSCHAP_LENGTH
    return None


def eap_failure(eap: bytes) -> bytes:
    """Give the EAP-Failure to a refused EAP-Message (RFC 3579 section 2.6.3).

    A Failure repeats the Identifier of the response it refuses (RFC 3748 section 4.2);
    an EAP-Start has none.
    """
    return bytes((4, eap[1] if len(eap) >= 2 else 0, 0, 4))
