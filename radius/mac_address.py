"""Whether a Calling-Station-Id is a MAC address, whichever way it is written.

NAS write 00:1A:2B:3C:4D:5E, 00-1a-2b-3c-4d-5e, 001a.2b3c.4d5e, 001A-2B3C-4D5E or
001a2b3c4d5e. What was sent is kept as it was, because it must go back so in a CoA;
this form is for comparing and finding. Only a whole match counts: in
``00-1A-2B-3C-4D-5E:ssid`` there is a MAC address, but it is not one.
"""

from __future__ import annotations

import re

_FORMS = re.compile(
    r"(?:[0-9a-f]{2}(?P<a>[:-]))(?:[0-9a-f]{2}(?P=a)){4}[0-9a-f]{2}"
    r"|[0-9a-f]{4}(?P<b>[.:-])[0-9a-f]{4}(?P=b)[0-9a-f]{4}"
    r"|[0-9a-f]{12}"
)


def mac_address(text: str) -> str | None:
    """Give a MAC address as ``00:1a:2b:3c:4d:5e``, or None if the text is not one."""
    lower = text.lower()
    if not _FORMS.fullmatch(lower):
        return None
    digits = re.sub(r"[^0-9a-f]", "", lower)
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def notations(mac: str) -> set[str]:
    """Give every way in which a NAS may write a MAC address; none for what is no such.

    So what was kept as it was sent is found by an index.
    """
    known = mac_address(mac)
    if known is None:
        return set()
    digits = known.replace(":", "")
    pairs = [digits[i : i + 2] for i in range(0, 12, 2)]
    fours = [digits[i : i + 4] for i in range(0, 12, 4)]
    written = {digits, *(mark.join(pairs) for mark in ":-")}
    written |= {mark.join(fours) for mark in ".:-"}
    return written | {one.upper() for one in written}
