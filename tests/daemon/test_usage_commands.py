"""``fairlane usage`` on how far rating is, what comes late into a closed month, and
what is taken back by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from money_site import BEGAN, MONTH, MoneySite

from storage.balances import UnratedUsage, insert_unrated, reject_unrated
from storage.sessions import insert_usage
from storage.tables import USAGE_COLUMNS


@pytest.fixture
def site(tmp_path: Path) -> MoneySite:
    """Three usage records, of which the last was rejected with an error."""
    site = MoneySite(tmp_path)
    waits = UnratedUsage(
        3, "aurora", "aurora-101", "guided", "no_version_in_force", BEGAN, BEGAN, 1
    )
    database = site.database()
    with database.write.begin() as connection:
        insert_unrated(connection, [waits])
        reject_unrated(connection, 3, "it broke")
    database.close()
    return site


def statuses(site: MoneySite, *arguments: str) -> list[tuple[str, str | None]]:
    """Status and reason of the usage that is listed."""
    rows = site.facts("usage", *arguments)
    return [(row["status"], row["reason"]) for row in rows]


def test_usage_is_listed_with_its_rating(site: MoneySite) -> None:
    """Only where it is asked for; by status, in JSON and in the table; and an unknown
    status is a wrong use."""
    assert all("status" not in row for row in site.facts("usage"))
    rejected = ("rejected", "it broke")
    assert [("rated", None)] * 2 + [rejected] == statuses(site, "--rating")
    assert [rejected] == statuses(site, "--status", "rejected")
    assert [] == statuses(site, "--status", "billed")
    table = site.out("usage", "--status", "rejected")
    assert ("aurora-101", True) == (
        table.splitlines()[-1].split()[-4],
        table.rstrip().endswith("it broke"),
    )
    assert 2 == site.run("usage", "--status", "lost").exit_code


def test_rejected_usage_is_recycled_once(site: MoneySite) -> None:
    """The ledger tries it again; a second time there is nothing to try."""
    recycle = ("usage", "--recycle")
    assert "1 usage records will be tried again\n" == site.out(*recycle)
    assert "0 usage records will be tried again\n" == site.out(*recycle)
    assert [{"recycled": 0}] == site.facts(*recycle)
    assert [("recycled", "it broke")] == statuses(site, "--status", "recycled")


def test_what_comes_late_into_a_closed_month_is_in_the_next_and_marked(
    site: MoneySite,
) -> None:
    """A record of March that is rated when March is closed is booked in April, says so,
    and is billed when April is closed; March's statement stays what it was."""
    site.out("rerate", MONTH, "--apply")
    site.out("ledger", "levy", MONTH)
    site.out("ledger", "close", MONTH)
    assert [("billed", None)] * 2 == statuses(site, "--status", "billed")
    stated = site.out("statement", "show", "aurora", MONTH, "--csv")
    row = dict.fromkeys(USAGE_COLUMNS, 0) | {"derived": "reported", "records": 1}
    row |= {"id": 4, "session_id": 1, "started_at": BEGAN + 7200, "tenant": "aurora"}
    row |= {"ended_at": BEGAN + 7800, "output_octets": 10**9}
    database = site.database()
    with database.write.begin() as connection:
        insert_usage(connection, [tuple(row.values())])
    database.close()
    site.out("rerate", MONTH, "--apply")
    [late] = site.facts("ledger", "entries", "--month", "2024-04")
    assert (MONTH, "2024-04", "-0.10") == (
        late["late_from"],
        late["month"],
        late["subscriber"],
    )
    assert stated == site.out("statement", "show", "aurora", MONTH, "--csv")
    assert [("rated", None)] == statuses(site, "--status", "rated")
    site.out("ledger", "levy", "2024-04")
    site.out("ledger", "close", "2024-04")
    assert [("billed", None)] * 3 == statuses(site, "--status", "billed")
    assert MONTH in site.out("statement", "show", "aurora", "2024-04", "--csv")


def test_metered_use_is_taken_back_by_hand_with_the_reason(site: MoneySite) -> None:
    """First shown, then booked, then refused; the reason is told where it is
    explained. Network usage has its own way."""
    file = site.folder / "usage.csv"
    file.write_text(
        "event_id,user,meter,quantity,start\n"
        "U-1,aurora-101,minutes,90,2024-03-10T12:00:00Z\n"
    )
    site.out("bsp-usage", "load", "--bsp", "filmhouse", str(file))
    [used] = site.facts("ledger", "entries", "--kind", "bsp_usage")
    reverse = ("ledger", "reverse", str(used["entry"]), "--reason", "it never played")
    [shown] = site.facts(*reverse, "--dry-run")
    assert 1 == len(site.facts("ledger", "entries"))
    [done] = site.facts(*reverse)
    assert (shown["subscriber"], used["entry"]) == ("1.80", done["reverses"])
    assert "because: it never played" in site.out("explain", str(done["entry"]))
    again = site.run(*reverse)
    said = "entry 1 was taken back already, by entry 2 (entry_reversed_already)"
    assert (1, f"fairlane: {said}\n") == (again.exit_code, again.stderr)
    site.out("rerate", MONTH, "--apply")
    rated = site.facts("ledger", "entries", "--kind", "access")[0]["entry"]
    refused = site.run("ledger", "reverse", str(rated), "--reason", "no")
    assert " is of network usage, which is rated again" in refused.stderr
    assert 2 == site.run("ledger", "reverse", "1", "--reason", " ").exit_code
    assert [] == site.facts("ledger", "verify")[0]["problems"]
