"""The rules for rows that have to do with access: credentials, signatures, servers.

Like ``config.network_checks``, which calls them, they look at the parsed document and
pass over what is not of the type they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.problems import Finding, rows_of
from config.values import prefix_of

_CREDENTIALS = ("password", "password_hash", "password_sealed")
_ISP_SECRETS = ("radius_secret", "radius_secret_file")
_NAME_OCTETS = 230
"""A service's name is in its Class, which has 253 octets (``radius.class_token``)."""


def find_access_conflicts(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Find what access could not work with."""
    for place, row in rows_of(document, "service"):
        given = [key for key in _CREDENTIALS if key in row]
        if len(given) > 1:
            message = f"{' and '.join(given)} exclude each other: give one"
            yield Finding(("service", place, given[1]), message)
        name = row.get("name")
        if isinstance(name, str) and len(name.encode()) > _NAME_OCTETS:
            message = f"is longer than {_NAME_OCTETS} octets of UTF-8"
            yield Finding(("service", place, "name"), message)
    for place, row in rows_of(document, "nas"):
        if row.get("message_authenticator") == "learn" and not _is_host(row):
            message = "'learn' is for one address: what a range sends is nobody's habit"
            yield Finding(("nas", place, "message_authenticator"), message)
    for place, row in rows_of(document, "isp"):
        servers = row.get("authentication_servers") or row.get("accounting_servers")
        given = [key for key in _ISP_SECRETS if key in row]
        if servers and not given:
            message = "needs radius_secret or radius_secret_file, the secret shared "
            yield Finding(("isp", place), message + "with its servers")
        elif len(given) > 1:
            message = f"{' and '.join(given)} exclude each other: give one"
            yield Finding(("isp", place, given[1]), message)


def _is_host(row: Mapping[str, Any]) -> bool:
    try:
        return bool(prefix_of(str(row.get("address"))).size == 1)
    except ValueError:
        return True  # told elsewhere
