"""A change held against the rules: all that it breaks is found, and little is read."""

from __future__ import annotations

from typing import Any

import pytest
from provisioning_site import STAFF, Site, change_of_isp

from config.restrictions import KIND
from services.inventory_rules import AT_ONCE, concerned, conflicts
from services.provisioning import ObjectChange

LINE = {"name": "line9", "area": "harbour", "relay": "r1", "circuit_id": "x"}
SERVICE = {"name": "s9", "isp": "aurora", "line": "line9", "offering": "home-500"}
LIMIT = {"name": "l9", "isp": "aurora", "amount": "9", "currency": "EUR"}


@pytest.fixture
def busy(site: Site) -> Site:
    """The network with services, limits, a restriction, a relay, and many lines."""
    site.active("line1")
    site.active("line2", "A-2")
    site.place(change_of_isp(line="line2"))
    limited = LIMIT | {"name": "l1", "service": "aurora-line1"}
    restricted = {"name": "aurora-line1", "isp": "aurora", "action": "block"}
    made = [
        ("relay", "r1", {"name": "r1", "area": "harbour", "giaddr": "192.0.2.1"}),
        ("spending_limit", "l1", limited),
        (KIND, "aurora-line1", restricted | {"until": 1, "event": 1}),
        ("line", "line9", LINE),
        *(
            ("line", f"far{n}", {"name": f"far{n}", "area": "hills"})
            for n in range(300)
        ),
    ]
    with site.transaction() as transaction:
        transaction.change(STAFF, [ObjectChange(k, n, None, b) for k, n, b in made])
    return site


CHANGES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "user name of another's": ("service", "s9", SERVICE | {
        "user_names": ["SUB-line1@aurora.example"]
    }),
    "offering of another's": ("service", "s9", SERVICE | {"offering": "polar-100"}),
    "line that is not there": ("service", "s9", SERVICE | {"line": "nowhere"}),
    "replaces what is elsewhere": ("service", "s9", SERVICE | {
        "replaces": "aurora-line1"
    }),
    "no contract there": ("service", "s9", {
        "name": "s9", "isp": "borealis", "line": "far1", "offering": "polar-100"
    }),
    "like another line": ("line", "line10", LINE | {"name": "line10"}),
    "relay of another area": ("line", "line9", LINE | {"area": "hills"}),
    "line with a service": ("line", "line1", None),
    "service with a limit": ("service", "aurora-line1", None),
    "limit of nobody": ("spending_limit", "l9", LIMIT | {"service": "nobody"}),
    "limit": ("spending_limit", "l9", LIMIT | {"service": "aurora-line2"}),
    "ISP with services": ("isp", "aurora", None),
    "offering with services": ("offering", "home-500", None),
    "area with lines": ("area", "hills", None),
    "relay with lines": ("relay", "r1", None),
    "nothing wrong": ("line", "line10", LINE | {"name": "line10", "circuit_id": "y"}),
}  # fmt: skip
"""A kind, a name, and what it would be."""

FINE = {"limit", "nothing wrong"}


@pytest.mark.parametrize("case", sorted(CHANGES))
@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_is_read_finds_all_that_everything_would(busy: Site, case: str) -> None:
    """So many changes at once are held against all there is: the measure of one."""
    kind, name, after = CHANGES[case]
    with busy.transaction() as transaction:
        everything = concerned(
            transaction, [ObjectChange(kind, name, None, None)] * 999
        )
        change = ObjectChange(kind, name, everything.get((kind, name)), after)
        one = conflicts(transaction, [change])
        all_ = conflicts(transaction, [change] * (AT_ONCE + 1))

    assert {finding.message for _, finding in all_} == {f.message for _, f in one}
    assert (case in FINE) == (not one)


def test_a_change_of_one_line_or_service_reads_no_others(busy: Site) -> None:
    """Of three hundred lines, none that has nothing to do with it."""
    with busy.transaction() as transaction:
        for kind, name, body in (("line", "line9", LINE), ("service", "s9", SERVICE)):
            changed = ObjectChange(kind, name, None, body)
            read = concerned(transaction, [changed])
            assert not [name for _, name in read if name.startswith("far")]
