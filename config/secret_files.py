"""Secrets kept in files beside the network file, read when it is loaded.

So the network file can be shown and versioned while its secrets are not in it. A NAS
may have two while the old one is being replaced, since it is the NAS that chooses; an
ISP's servers are asked by us, with the one that they take.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from config.network import Network
from config.problems import Finding, rows_of

MAXIMUM_SECRET_FILE_BYTES = 4096

SECRET_FILES = {"nas": ("secret_file", 2), "isp": ("radius_secret_file", 1)}
"""By table, the key that names a file, and how many secrets it may hold."""

Secrets = dict[tuple[str, int], tuple[str, ...]]
"""By table and position."""


def read_secrets(
    document: Mapping[str, Any], folder: Path
) -> tuple[Secrets, list[Finding]]:
    """Read the secret files that a network document names; findings for the rest."""
    secrets: Secrets = {}
    findings = []
    for kind, (key, most) in SECRET_FILES.items():
        for place, row in rows_of(document, kind):
            name = row.get(key)
            if not isinstance(name, str) or not name:
                continue
            try:
                secrets[kind, place] = _secrets_in(folder / name, most)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                findings.append(Finding((kind, place, key), f"{name!r}: {reason}"))
    return secrets, findings


def _secrets_in(path: Path, most: int) -> tuple[str, ...]:
    with path.open("rb") as file:
        data = file.read(MAXIMUM_SECRET_FILE_BYTES + 1)
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        msg = "is not UTF-8"
        raise ValueError(msg) from None
    found = tuple(line for line in lines if line)
    if not 1 <= len(found) <= most or len(data) > MAXIMUM_SECRET_FILE_BYTES:
        wanted = "one secret" if most == 1 else "one or two secrets, a line each"
        msg = f"must hold {wanted}, not {len(found)}"
        raise ValueError(msg)
    return found


def with_secrets(network: Network, secrets: Secrets) -> Network:
    """Put every secret, wherever it was written, where a loaded row has it."""
    nas = []
    for place, one in enumerate(network.nas):
        own = secrets.get(("nas", place)) or one.secrets
        if one.secret is not None:
            own = (one.secret,)
        nas.append(replace(one, secret=None, secret_file=None, secrets=own))
    isps = []
    for place, isp in enumerate(network.isp):
        (secret,) = secrets.get(("isp", place), (isp.radius_secret,))
        isps.append(replace(isp, radius_secret=secret, radius_secret_file=None))
    return replace(network, nas=tuple(nas), isp=tuple(isps))
