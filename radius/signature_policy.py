"""Whether an Access-Request without a Message-Authenticator may be looked at.

An unsigned Access-Request lets who sits between NAS and server turn a reject into an
accept (CVE-2024-3596, "BlastRADIUS"): the attack puts a Proxy-State of its making into
the request and needs an answer that echoes it. So requests must be signed unless the
operator has said of a NAS that it cannot; answers always are, and the signature comes
first in them, where no chosen prefix can stand before it.
"""

from __future__ import annotations

from config.plant import SignaturePolicy
from radius.outcomes import Drop

_MISSING = Drop.MESSAGE_AUTHENTICATOR_MISSING
_BLAST = Drop.UNSIGNED_PROXY_STATE

UNSIGNED: dict[tuple[SignaturePolicy, bool], Drop | None] = {
    ("require", False): _MISSING,
    ("require", True): _MISSING,
    ("limit-proxy-state", False): None,
    ("limit-proxy-state", True): _BLAST,
    ("learn", False): None,
    ("learn", True): _BLAST,
    ("no", False): None,
    ("no", True): None,
}
"""What becomes of an unsigned request, by policy and whether it has a Proxy-State."""


def unsigned(
    policy: SignaturePolicy, *, learned: bool, has_proxy_state: bool, must: bool
) -> Drop | None:
    """Say why an unsigned request is dropped, or None.

    ``learned`` is that this NAS was seen to sign, which makes ``learn`` mean
    ``require`` for ever. ``must`` is that the packet is one that has to be signed
    whatever the policy: EAP (RFC 3579 section 3.1), Authorize-Only (RFC 5176
    section 3.2).
    """
    if must or (learned and policy == "learn"):
        return _MISSING
    return UNSIGNED[policy, has_proxy_state]
