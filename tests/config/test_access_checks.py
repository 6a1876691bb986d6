"""What a network file may not say about access."""

from __future__ import annotations

from typing import Any

import pytest

from config.access_checks import find_access_conflicts
from config.network import Network, warnings
from config.plant import Nas


@pytest.mark.parametrize(
    ("document", "path", "word"),
    [
        (
            {"service": [{"name": "s", "password": "x", "password_hash": "y"}]},
            ("service", 0, "password_hash"),
            "exclude",
        ),
        ({"service": [{"name": "ä" * 116}]}, ("service", 0, "name"), "230"),
        (
            {"nas": [{"address": "10.0.0.0/8", "message_authenticator": "learn"}]},
            ("nas", 0, "message_authenticator"),
            "range",
        ),
        ({"isp": [{"accounting_servers": ["127.0.0.1:1"]}]}, ("isp", 0), "secret"),
        (
            {"isp": [{"radius_secret": "x", "radius_secret_file": "y"}]},
            ("isp", 0, "radius_secret_file"),
            "exclude",
        ),
    ],
)
def test_what_access_could_not_work_with_is_told(
    document: dict[str, Any], path: tuple[str | int, ...], word: str
) -> None:
    """One finding, at its place, with the reason."""
    (finding,) = find_access_conflicts(document)

    assert path == finding.path
    assert word in finding.message


def test_what_access_can_work_with_is_not_told() -> None:
    """Learning of one host, a name that just fits, a server with its secret."""
    document = {
        "service": [{"name": "ä" * 115, "password_sealed": "x"}],
        "nas": [{"address": "10.0.0.1", "message_authenticator": "learn"}],
        "isp": [{"authentication_servers": ["127.0.0.1:1"], "radius_secret": "x"}],
    }

    assert [] == list(find_access_conflicts(document))


def test_nas_that_need_not_sign_are_warned_of() -> None:
    """CVE-2024-3596: the operator sees which are left."""
    secret = "a secret of 24 octets ..."
    network = Network(
        nas=(
            Nas(name="new", address="10.0.0.1", secret=secret),
            Nas(
                name="old",
                address="10.0.0.2",
                secret=secret,
                message_authenticator="no",
            ),
        )
    )

    (caution,) = warnings(network)
    assert "old" == caution.name
    assert "CVE-2024-3596" in caution.message
