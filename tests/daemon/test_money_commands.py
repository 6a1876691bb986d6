"""The commands of money, run on a small month: as tables, as JSON, with bad input."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from money_site import BEGAN, MONTH, MoneySite
from sqlalchemy import update

from daemon.cli import main
from daemon.commands.stored import network_in
from services.catalogue import Catalogue
from services.periodic_charges import PeriodicCharges
from storage.balances import add_samples
from storage.tables import usage


@pytest.fixture
def site(tmp_path: Path) -> MoneySite:
    """The month, nothing of which is booked yet."""
    return MoneySite(tmp_path)


@pytest.fixture
def booked(site: MoneySite) -> MoneySite:
    """The month with its usage rated, a film sold, tax levied, and closed."""
    site.sell_film(catalogue(site))
    site.out("rerate", MONTH, "--apply")
    site.out("ledger", "levy", MONTH)
    site.out("ledger", "close", MONTH)
    return site


def catalogue(site: MoneySite) -> Catalogue:
    """The catalogue of its network."""
    database = site.database()
    with database.read.connect() as connection:
        network = network_in(connection)
    database.close()
    return Catalogue(network)


def test_a_month_is_rated_levied_closed_and_proved(site: MoneySite) -> None:
    """3 GB at 0.10 and 0.01, 25 % tax on the first and on the second, and the ledger
    is whole; each step says what it did, and done again does nothing."""
    rows = {r["party"]: r["after"] for r in site.facts("rerate", MONTH)}
    assert {
        "network": "0.03",
        "aurora": "0.27",
        "subscribers of aurora": "-0.30",
    } == rows
    assert [] == site.facts("ledger", "entries")
    shown = site.run("rerate", MONTH, "--apply")
    assert "3 usage records rated, 0 could not be; 3 entries booked" in shown.stderr
    assert [] == site.facts("rerate", MONTH)
    assert "2 entries\n" == site.out("ledger", "levy", MONTH)
    assert "0 entries\n" == site.out("ledger", "levy", MONTH)
    assert f"aurora UTC {MONTH}: closed\n" == site.out("ledger", "close", MONTH)
    again = site.run("ledger", "close", MONTH)
    said = f"aurora UTC {MONTH}: closed already (month_closed_already)\n"
    assert (1, said) == (again.exit_code, again.stdout)
    [proof] = site.facts("ledger", "verify")
    assert (5, []) == (proof["entries"], proof["problems"])
    assert proof["digest"] in site.out("ledger", "verify")


def test_entries_are_listed_by_filters(booked: MoneySite) -> None:
    """As objects with decimals, as a table with the newest, and no one else's."""
    entries = booked.facts("ledger", "entries")
    assert ["purchase", *["access"] * 5] == [row["kind"] for row in entries]
    assert ["0.000000"] == sorted(
        {f"{abs(sum(float(r[leg]) for leg in LEGS)):.6f}" for r in entries}
    )
    [film] = booked.facts("ledger", "entries", "--party", "filmhouse")
    assert ("-12.00", "aurora-101") == (film["subscriber"], film["service"])
    assert 2 == len(booked.facts("ledger", "entries", "--limit", "2"))
    assert [] == booked.facts("ledger", "entries", "--isp", "borealis")
    table = booked.out("ledger", "entries", "--kind", "access", "--month", MONTH)
    assert 6 == len(table.splitlines())


LEGS = ("subscriber", "isp_amount", "party_amount", "network", "tax")


def test_a_ledger_that_was_changed_is_not_proved(booked: MoneySite) -> None:
    """Exit with 1, and what is wrong is named."""
    database = booked.database()
    with database.write.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER entry_no_update")
        connection.exec_driver_sql(
            "UPDATE entry SET subscriber_amount = subscriber_amount - 1,"
            " isp_amount = isp_amount + 1 WHERE id = 2"
        )
    database.close()
    result = booked.run("ledger", "verify")
    assert (1, True) == (result.exit_code, "batch 2" in result.stderr)
    result = booked.run("ledger", "verify", "--json")
    assert (1, True) == (result.exit_code, json.loads(result.stdout)["problems"] != [])


def test_what_everybody_has_sums_to_zero(booked: MoneySite) -> None:
    """In JSON by hand, in the table in its last line."""
    rows = booked.facts("ledger", "settlement", MONTH)
    assert 0 == sum(round(float(row["amount"]) * 1e6) for row in rows)
    assert {"subscribers", "isp", "bsp", "network", "tax"} == {
        row["account"] for row in rows
    }
    table = booked.out("ledger", "settlement", MONTH)
    assert "together" in table.splitlines()[-1]
    assert table.splitlines()[-1].endswith(" 0.00")


@pytest.mark.parametrize(
    "command",
    [
        ("ledger", "levy", "2024-13"),
        ("ledger", "close", "March"),
        ("ledger", "settlement", "2024"),
        ("ledger", "entries", "--month", "2024-00"),
        ("rerate", "2024-3-1"),
        ("statement", "open", "aurora", "soon"),
        ("statement", "set", "aurora", "soon", "issue"),
        ("statement", "show", "aurora", "soon"),
        ("statement", "list", "--month", "soon"),
        ("ledger", "close", "9999-12"),
        ("statement", "open", "aurora", "0001-01"),
    ],
)
def test_what_is_no_month_is_a_wrong_use(
    site: MoneySite, command: tuple[str, ...]
) -> None:
    """Exit code 2, and what was typed is in the message."""
    result = site.run(*command)
    assert (2, True) == (result.exit_code, "is no month" in result.stderr)


def test_the_month_that_runs_is_not_closed(site: MoneySite) -> None:
    """Neither is it rated again for good: its own totals still move."""
    result = site.run("rerate", "2999-01", "--apply")
    assert (1, "fairlane: 2999-01 is not over\n") == (result.exit_code, result.stderr)


def test_an_entry_is_explained_in_words_and_as_an_object(booked: MoneySite) -> None:
    """The legs, the charge with its rate, the usage and session, what is gone; a film
    with its purchase; and a tax with what it was levied on."""
    used, *_, taxed = (
        row["entry"] for row in booked.facts("ledger", "entries", "--kind", "access")
    )
    text = booked.out("explain", str(used))
    for words in (
        "aurora-101                    -0.10 EUR",
        "home@2024-01-01 volume (usage)",
        "name=volume",
        "session S-1 of bng1, sub101@aurora.example",
        "gone: no packets: the journals are empty",
    ):
        assert words in text
    [fact] = booked.facts("explain", str(used))
    assert (1, "0.09") == (fact["usage"]["id"], fact["isp_amount"][:4])
    [film] = booked.facts("ledger", "entries", "--kind", "purchase")
    text = booked.out("explain", str(film["entry"]))
    assert "order-aurora-101 at filmhouse: captured" in text
    assert "25.00 % tax, owed by filmhouse, on the price before tax; 10.00 % of" in text
    [marked] = [line for line in text.splitlines() if line.endswith("<- this entry")]
    assert marked.startswith("  E-aurora-101: ")
    [fact] = booked.facts("explain", str(taxed))
    assert "period" == fact["source"]
    assert "Levied on" in booked.out("explain", str(taxed))
    assert [3] == [row["entries"] for row in fact["levied_on"]]
    assert {"0.30", "0.03"} >= {row["amount"] for row in fact["levied_on"]}
    assert "25.00" == fact["levied_now"]["tax_percent"]
    text = booked.out("explain", str(taxed))
    assert "by what the network has now: 25.00 % tax\n" in text
    assert "changed: " not in text
    network = booked.folder / "network.toml"
    network.write_text(network.read_text().replace('percent = "25"', 'percent = "20"'))
    booked.out("apply", str(network))
    text = booked.out("explain", str(taxed))
    assert "changed: by that it is " in text  # beside what was booked
    absent = booked.run("explain", "999")
    assert (1, "fairlane: there is no entry 999\n") == (absent.exit_code, absent.stderr)
    assert 2 == booked.run("explain", "first").exit_code


FLAT = """
[[tariff]]
name = "flat"
isp = "aurora"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2024-01-01"
fee = [{ name = "subscription", amount = "30.00" }]
[[offering]]
name = "flat"
isp = "aurora"
down_kbps = 1
up_kbps = 1
tariff = "flat"
[[line]]
name = "harbour-109"
area = "harbour"
[[service]]
name = "aurora-109"
isp = "aurora"
line = "harbour-109"
offering = "flat"
"""


def test_a_fee_is_not_explained_as_usage(site: MoneySite) -> None:
    """Its name and what it comes to, and no word of use; in a bill's table as well."""
    file = site.folder / "network.toml"
    file.write_text(file.read_text() + FLAT)
    site.out("apply", str(file))
    database = site.database()
    with database.read.connect() as connection:
        charges = PeriodicCharges(network_in(connection))
    charges.charge_services(database, BEGAN, "", 10)
    database.close()
    [row] = site.facts("ledger", "entries")
    text = site.out("explain", str(row["entry"]))
    assert "  flat@2024-01-01 subscription: 1 fee, 2024-03-01T00:00:00Z to" in text
    assert "until its end: 30.00 EUR in all\n" in text
    used = site.folder / "usage.csv"
    used.write_text("started_at,ended_at\n2024-03-10T12:00,2024-03-10T13:00\n")
    table = site.out(
        *("rate", "--tariff", "flat", "--network", str(file), "--usage", str(used))
    )
    [line] = [line for line in table.splitlines() if "subscription" in line]
    assert ["2024-03-01", "subscription", "-", "1", "fee"] == line.split()[:5]


SHAPE = """
[[isp]]
name = "borealis"
wholesale = "shape"
[[tariff]]
name = "shape"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2024-01-01"
percentile = [{ name = "transit", measure = "sum", percentile = 50, price = "2.00" }]
peak = [{ name = "sessions", price = "1.00" }]
loan = [{ name = "addresses", price = "0.002" }]
"""


def test_the_shape_of_a_month_is_explained_in_words_and_as_an_object(
    site: MoneySite,
) -> None:
    """The samples around the percentile, all of them when asked; that nobody was there
    together, and nothing lent."""
    file = site.folder / "network.toml"
    file.write_text(file.read_text() + SHAPE)
    site.out("apply", str(file))
    database = site.database()
    with database.write.begin() as connection:
        samples = {("borealis", BEGAN + 300 * n): [37_500 * n, 0] for n in range(6000)}
        add_samples(connection, samples)
        charges = PeriodicCharges(network_in(connection))
    charges.charge_isps(database, BEGAN + 25 * 86_400)
    database.close()
    rows = site.facts("ledger", "entries", "--isp", "borealis")
    numbers = [str(row["entry"]) for row in rows]
    text = site.out("explain", numbers[0])
    assert "8928 of 300 s, 4464 of them above the 50th percentile" in text
    assert 7 == text.count(" bit/s")
    [marked] = [line for line in text.splitlines() if "<- the percentile" in line]
    at = "2024-03-15T19:55:00Z"  # the 1536th, behind 2928 in which nothing was used
    assert marked.startswith(f"  4464. {at}: 57562500 octets in, 0 out")
    assert "gone: usage records: those that are kept have 0 octets of the 575" in text
    [fact] = site.facts("explain", numbers[0], "--all")
    shape = fact["shape"]
    assert (4464, False) == (
        shape["percentile"]["decisive"]["rank"],
        shape["has_changed"],
    )
    assert 6000 == len(shape["percentile"]["shown"])
    assert fact["charges"][0]["quantity"] == shape["quantity_now"]


def test_purchases_are_listed_and_priced_after_a_fix(site: MoneySite) -> None:
    """A sale to somebody unknown waits; with the service there it becomes money."""
    site.sell_film(catalogue(site))
    site.sell_film(catalogue(site), "aurora-102")
    sold, waits = site.facts("purchases", "list")
    assert ("captured", "12.00") == (sold["state"], sold["captured"])
    assert ("pending", "unknown_user") == (waits["state"], waits["reason"])
    assert "2: unknown_user\n" == site.out("purchases", "recycle")
    file = site.folder / "network.toml"
    more = '[[line]]\nname = "harbour-102"\narea = "harbour"\n[[service]]\n'
    more += 'name = "aurora-102"\nisp = "aurora"\nline = "harbour-102"\n'
    file.write_text(file.read_text() + more + 'offering = "home-500"\n')
    site.out("apply", str(file))
    assert "2: captured\n" == site.out("purchases", "recycle")
    assert "" == site.out("purchases", "recycle")
    assert "0 expired\n" == site.out("purchases", "expire")
    table = site.out("purchases", "list", "--bsp", "filmhouse", "--state", "captured")
    assert 3 == len(table.splitlines())
    assert 2 == site.run("purchases", "list", "--state", "lost").exit_code


USAGE = """event_id,user,meter,quantity,start
U-1,sub101@aurora.example,minutes,90,2024-03-10T12:00:00Z
U-2,aurora-101,minutes,10,2024-03-10T14:00:00Z
U-3,nobody,minutes,10,2024-03-10T14:00:00Z
U-4,aurora-101,minutes,many,2024-03-10T14:00:00Z
"""


def test_metered_use_is_loaded_rejected_mended_and_aged(site: MoneySite) -> None:
    """100 minutes become money; two records are kept with their reasons, and one comes
    back when the network knows the user; loading it again changes nothing."""
    file = site.folder / "usage.csv"
    file.write_text(USAGE)
    load = ("bsp-usage", "load", "--bsp", "filmhouse", str(file))
    result = site.run(*load)
    assert (1, "2 accepted, 2 rejected; 2 rated\n") == (result.exit_code, result.stdout)
    result = site.run(*load, "--json")
    receipts = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["duplicate"] * 4 == [r["outcome"] for r in receipts]
    entries = site.facts("ledger", "entries", "--kind", "bsp_usage")
    assert -2.0 == sum(float(row["subscriber"]) for row in entries)
    rejected = site.facts("bsp-usage", "rejected")
    assert ["U-3", "U-4"] == [row["event_id"] for row in rejected]
    assert "many" in site.out("bsp-usage", "rejected")
    ages = site.facts("bsp-usage", "rejected", "--ages")
    assert [1, 1] == [row["records"] for row in ages]
    assert {0} == {row["oldest_days"] for row in ages}
    network = site.folder / "network.toml"
    user = '"sub101@aurora.example"'
    network.write_text(network.read_text().replace(user, f'{user}, "nobody"'))
    site.out("apply", str(network))
    assert "1 recycled; 1 rated\n" == site.out("bsp-usage", "recycle")
    assert "0 recycled; 0 rated\n" == site.out("bsp-usage", "recycle")


def test_metered_use_as_json_lines_and_of_nobody(site: MoneySite) -> None:
    """A line that is no JSON is a record that is rejected, not the file's end; a BSP
    that there is not, and a file that there is not, are errors."""
    file = site.folder / "usage.jsonl"
    record = {"event_id": "U-1", "user": "aurora-101", "meter": "minutes"}
    record |= {"quantity": "1", "start": "2024-03-10T12:00:00Z"}
    file.write_text('{"event_id": \n' + json.dumps(record) + "\n")
    result = site.run("bsp-usage", "load", "--bsp", "filmhouse", str(file))
    assert (1, "1 accepted, 1 rejected; 1 rated\n") == (result.exit_code, result.stdout)
    result = site.run("bsp-usage", "load", "--bsp", "radio", str(file))
    said = "fairlane: no BSP is called 'radio'\n"
    assert (1, said) == (result.exit_code, result.stderr)
    lost = str(site.folder / "lost.csv")
    result = site.run("bsp-usage", "load", "--bsp", "filmhouse", lost)
    assert (2, True) == (result.exit_code, lost in result.stderr)


GOOD = "U-1,aurora-101,minutes,1,2024-03-10T12:00:00Z\n"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param('"\\ud800"\n%J', id="half a surrogate pair"),
        pytest.param("[" * 100_000 + "\n%J", id="arrays without end"),
        pytest.param("\ufeff{\n%J", id="JSON behind a byte order mark"),
        pytest.param("\n {\n%J", id="JSON behind a blank line"),
        pytest.param("%HU-\0,x,minutes,1,1\n" + GOOD, id="U+0000"),
        pytest.param("\ufeff%HU-2,x,minutes,1,1\n" + GOOD, id="CSV behind a mark"),
        pytest.param('%H"' + "x" * 200_000 + '"\n' + GOOD, id="a huge field"),
        pytest.param('%H"a\r\nb",x,minutes,1,1\r\n' + GOOD, id="a quoted new line"),
        pytest.param("%HU-3,aurora-101,minutes,1,000,1\n" + GOOD, id="a cell more"),
        pytest.param("%HU-3,aurora-101,minutes,1\n" + GOOD, id="a cell less"),
        pytest.param('{"a": NaN}\n%J', id="no number"),
        pytest.param(
            '{"event_id": "U-4", "user": "aurora-101", "meter": "minutes",'
            ' "quantity": 1, "quantity": 100, "start": "2024-03-10T12:00:00Z"}\n%J',
            id="a name that stands twice",
        ),
        pytest.param(
            '{"event_id": "U-5", "user": "aurora-101", "meter": "minutes",'
            ' "quantity": 1e3, "start": "2024-03-10T12:00:00Z"}\n%J',
            id="an exponent",
        ),
        pytest.param('{"quantity": 1180591620717411303424}\n%J', id="a huge number"),
    ],
)
def test_a_line_that_cannot_be_read_is_not_the_file_s_end(
    site: MoneySite, lines: str
) -> None:
    """What is behind it is taken and rated, and the file is said not to be right."""
    header = "event_id,user,meter,quantity,start"
    record = dict(zip(header.split(","), GOOD.strip().split(","), strict=True))
    text = lines.replace("%J", json.dumps(record)).replace("%H", f"{header}\n")
    file = site.folder / "usage"
    file.write_text(text if lines[0] != '"' else "{\n" + text)
    result = site.run("bsp-usage", "load", "--bsp", "filmhouse", str(file))
    assert 1 == result.exit_code
    twice = "line 1: the key 'quantity' stands twice in one object\n"
    assert ('"quantity": 1, "quantity"' in lines) == (twice in result.stderr)
    assert "1 accepted, " in result.stdout
    assert "; 1 rated\n" in result.stdout


def test_a_header_that_names_a_column_twice_is_refused(site: MoneySite) -> None:
    """Which of the two is meant would be a guess at money: nothing of it is taken."""
    file = site.folder / "usage.csv"
    file.write_text("event_id,user,meter,quantity,quantity,start\n" + GOOD)
    result = site.run("bsp-usage", "load", "--bsp", "filmhouse", str(file))
    said = "fairlane: the header has 'quantity' twice\n"
    assert (1, said) == (result.exit_code, result.stderr)
    assert "" == site.out("bsp-usage", "rejected", "--json")


def test_a_statement_is_opened_issued_disputed_and_settled(booked: MoneySite) -> None:
    """Each state is printed and listed; a step that cannot be is refused by name."""
    steps: list[tuple[str, str, tuple[str, ...]]] = [("open", "opened", ())]
    steps += [("set", state, (step,)) for step, state in STEPS]
    for word, state, more in steps:
        assert f"{state}\n" == booked.out("statement", word, "aurora", MONTH, *more)
    [row] = booked.facts("statement", "list", "--recipient", "aurora")
    assert ("settled", 6, 64) == (row["state"], row["lines"], len(row["sha256"]))
    assert "settled" in booked.out("statement", "list")
    result = booked.run("statement", "set", "aurora", MONTH, "dispute")
    said = (
        "fairlane: the statement of 2024-03 for aurora is settled, so dispute is"
        " refused: there is no step from there (not_in_this_state)\n"
    )
    assert (1, said) == (result.exit_code, result.stderr)
    result = booked.run("statement", "set", "filmhouse", MONTH, "issue")
    said = (
        "fairlane: there is no statement of 2024-03 for filmhouse: open it first, by"
        " fairlane statement open filmhouse 2024-03 (statement_not_opened)\n"
    )
    assert (1, said) == (result.exit_code, result.stderr)
    result = booked.run("statement", "open", "radio", MONTH)
    said = "fairlane: no ISP or BSP is called 'radio'\n"
    assert (1, said) == (result.exit_code, result.stderr)


def test_a_statement_s_step_that_cannot_be_says_why_and_what_can(
    booked: MoneySite,
) -> None:
    """The steps from where it is; and whose month is open yet, for an issue."""
    booked.out("statement", "open", "aurora", MONTH)
    result = booked.run("statement", "set", "aurora", MONTH, "settle")
    said = (
        "fairlane: the statement of 2024-03 for aurora is opened, so settle is"
        " refused: it can be issued (not_in_this_state)\n"
    )
    assert (1, said) == (result.exit_code, result.stderr)
    booked.out("statement", "open", "aurora", "2024-04")
    result = booked.run("statement", "set", "aurora", "2024-04", "issue")
    said = (
        "fairlane: 2024-04 is open yet for aurora in UTC, so the statement of 2024-04"
        " for aurora cannot be issued: close it first, by fairlane ledger close"
        " 2024-04 (month_not_closed)\n"
    )
    assert (1, said) == (result.exit_code, result.stderr)


def test_a_statement_of_a_month_that_has_not_begun_is_not_opened(
    site: MoneySite,
) -> None:
    """It says so, and there is none; that of the month that runs is opened."""
    result = site.run("statement", "open", "aurora", "2999-01")
    said = (
        "fairlane: 2999-01 has not begun: a statement is opened when its month has"
        " (month_not_begun)\n"
    )
    assert (1, said) == (result.exit_code, result.stderr)
    assert [] == site.facts("statement", "list")
    running = datetime.now(UTC).strftime("%Y-%m")
    assert "opened\n" == site.out("statement", "open", "aurora", running)


def test_an_entry_that_cannot_be_taken_back_says_why_and_what_to_do(
    booked: MoneySite,
) -> None:
    """In words with what corrects it, and the code; nothing is booked."""
    before = booked.facts("ledger", "entries")
    by_kind = {(row["kind"], row["source"]): row["entry"] for row in before}
    for number, words in (
        (999, "there is no entry 999: fairlane ledger entries lists those that"),
        (
            by_kind["access", "usage"],
            "is of network usage, which is rated again: by fairlane rerate 2024-03",
        ),
        (by_kind["purchase", "purchase"], "is of a purchase: its BSP cancels or refun"),
        (
            by_kind["access", "period"],
            "is a tax or a commission, which follows what it is on: take that back",
        ),
    ):
        result = booked.run("ledger", "reverse", str(number), "--reason", "wrong")
        assert (1, True) == (result.exit_code, words in result.stderr), result.stderr
        assert re.search(r" \([a-z_]+\)\n$", result.stderr)
    assert before == booked.facts("ledger", "entries")


STEPS = (
    ("issue", "issued"),
    ("dispute", "disputed"),
    ("resolve", "issued"),
    ("settle", "settled"),
)


def test_a_recipient_checks_a_statement_against_its_own_records(
    booked: MoneySite,
) -> None:
    """As CSV and as JSON it holds; a record of one's own that differs, is missing or
    is more is named with both amounts, and a changed file does not hold."""
    booked.out("statement", "open", "aurora", MONTH)
    booked.out("statement", "set", "aurora", MONTH, "issue")
    [row] = booked.facts("statement", "list")
    theirs = booked.folder / "statement.csv"
    show = ("statement", "show", "aurora", MONTH)
    theirs.write_bytes(booked.run(*show, "--csv").stdout_bytes)
    rows = list(csv.DictReader(theirs.read_text().splitlines()))
    own = booked.folder / "own.csv"
    records = [
        (line["reference"] or f"entry-{line['entry']}", int(line["amount"]) / 1e6)
        for line in rows
    ]
    own.write_text(
        "reference,amount\n" + "".join(f"{name},{a:.6f}\n" for name, a in records)
    )
    check = ("statement", "verify", str(theirs), "--own", str(own))
    result = bare(*check, "--sha256", row["sha256"])
    assert (0, "") == (result.exit_code, result.stdout)
    assert result.stderr == "6 lines, 0 mismatches\n"
    as_json = booked.folder / "statement.jsonl"
    as_json.write_text(booked.out(*show, "--json"))
    assert 0 == bare("statement", "verify", str(as_json), "--own", str(own)).exit_code
    own.write_text(
        own.read_text()
        .replace("usage-1,0.09", "usage-1,0.08")
        .replace("usage-2,", "other,")
    )
    result = bare(*check, "--sha256", "0" * 64)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "other: 0.09, not in the statement",
        "usage-1: 0.09, 0.08 in your records",
        "usage-2: 0.09, not in your records",
        "the file is not what was issued: its SHA-256 differs",
    ]
    assert "amount" in booked.out(*show)


def test_a_bsp_checks_a_statement_by_its_own_event_ids(site: MoneySite) -> None:
    """Two events that were rated together are one line, which both count for; what it
    is charged on the month's total goes by service, kind and month."""
    file = site.folder / "usage.csv"
    file.write_text(USAGE)
    site.run("bsp-usage", "load", "--bsp", "filmhouse", str(file))
    site.sell_film(catalogue(site))
    site.out("ledger", "levy", MONTH)
    theirs = site.folder / "statement.csv"
    show = ("statement", "show", "filmhouse", MONTH)
    own = site.folder / "own.csv"
    rows = "U-1,1.80\nU-2,0.20\nE-aurora-101,8.64\n"
    levied = f"period-aurora-101:bsp_usage:filmhouse:standard:{MONTH},-0.20\n"
    for form in ("--csv", "--json"):
        theirs.write_bytes(site.run(*show, form).stdout_bytes)
        own.write_text("reference,amount\n" + rows + levied)
        check = ("statement", "verify", str(theirs), "--own", str(own))
        result = bare(*check)
        assert (0, "3 lines, 0 mismatches\n") == (result.exit_code, result.stderr)
        own.write_text(own.read_text().replace("U-2,0.20", "U-2,0.25"))
        result = bare(*check)
        said = "bsp_usage-1: 2.00, 2.05 in your records\n"
        assert (1, said) == (result.exit_code, result.stdout)
    theirs.write_text(theirs.read_text().replace('[\\"U-1', "[U-1"))
    result = bare(*check)
    assert (1, True) == (result.exit_code, "records: " in result.stderr)


def bare(*arguments: str) -> Result:
    """Run a command that needs no configuration."""
    return CliRunner().invoke(main, list(arguments))


BROKEN = {
    "no amount": ("reference,amount\nusage-1\n", ":2: "),
    "no number": ("reference,amount\nusage-1,1.00\nusage-2,much\n", ":3: "),
    "no reference": ("name,amount\nusage-1,1.00\n", ":2: there is no 'reference'"),
    "no object": ('{"reference": "usage-1", "amount": "1"}\n[]\n', ":2: no JSON"),
    "no JSON": ('{"reference": "usage-1", "amount": "1"}\n{"a\n', ":2: "),
    "a key twice": (
        '{"reference": "u", "amount": "1", "amount": "2"}\n',
        ":1: the key 'amount' stands twice",
    ),
    "a column twice": (
        "reference,amount,amount\nu,1,2\n",
        ":1: the header has a name twice",
    ),
}


@pytest.mark.parametrize(("text", "place"), BROKEN.values(), ids=BROKEN)
def test_a_broken_record_of_one_s_own_is_named_by_its_line(
    booked: MoneySite, text: str, place: str
) -> None:
    """Exit with 1 and file and line, not a traceback."""
    theirs = booked.folder / "statement.csv"
    show = ("statement", "show", "aurora", MONTH, "--csv")
    theirs.write_bytes(booked.run(*show).stdout_bytes)
    own = booked.folder / "own"
    own.write_text(text)
    result = bare("statement", "verify", str(theirs), "--own", str(own))
    assert (1, True) == (result.exit_code, f"{own}{place}" in result.stderr)
    result = bare("statement", "verify", str(own))
    assert (1, True) == (result.exit_code, f"{own}:" in result.stderr)


@pytest.mark.parametrize(
    ("column", "value", "as_json"),
    [
        pytest.param("amount", "much", False, id="a word"),
        pytest.param("tax_amount", "", False, id="nothing"),
        pytest.param("isp_amount", "1.5", False, id="a fraction"),
        pytest.param("amount", str(2**63), False, id="more than any amount"),
        pytest.param("amount", "9" * 5000, False, id="more digits than Python takes"),
        pytest.param("amount", "1_000", False, id="Python's own underscore"),
        pytest.param("network_amount", [1], True, id="an array"),
        pytest.param("amount", 1.5, True, id="a fraction in JSON"),
        pytest.param("amount", True, True, id="a truth"),
        pytest.param("reference", ["usage-1"], True, id="a list for a reference"),
    ],
)
def test_what_is_no_number_in_a_statement_is_named_by_line_and_column(
    booked: MoneySite, column: str, value: Any, *, as_json: bool
) -> None:
    """Exit with 1 and file, line and column, not a traceback."""
    form = "--json" if as_json else "--csv"
    shown = booked.run("statement", "show", "aurora", MONTH, form).stdout_bytes
    file = booked.folder / "statement"
    if as_json:
        facts = [json.loads(line) for line in shown.splitlines()]
        place = next(n for n, fact in enumerate(facts) if fact["object"] == "line") + 1
        facts[place - 1][column] = value
        file.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    else:
        rows = list(csv.DictReader(shown.decode().splitlines()))
        place, rows[1][column] = 3, value
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    result = bare("statement", "verify", str(file))
    assert result.exit_code == 1
    assert f"fairlane: {file}:{place}: {column}: " in result.stderr


def test_a_column_that_a_statement_lacks_is_named(booked: MoneySite) -> None:
    """By its name; an empty file is no statement, and does not hold."""
    shown = booked.run("statement", "show", "aurora", MONTH, "--csv").stdout_bytes
    file = booked.folder / "statement.csv"
    file.write_bytes(shown.replace(b",tax_amount,", b",taxes,", 1))
    result = bare("statement", "verify", str(file))
    said = f"fairlane: {file}:1: there is no column tax_amount\n"
    assert (1, said) == (result.exit_code, result.stderr)
    for text in ("", "bng1\n"):
        file.write_text(text)
        result = bare("statement", "verify", str(file))
        said = f"fairlane: {file}:1: there is no column amount\n"
        assert (1, said) == (result.exit_code, result.stderr)


def test_a_month_that_was_rolled_up_is_not_rated_again(site: MoneySite) -> None:
    """It says so, and nothing is booked."""
    database = site.database()
    with database.write.begin() as connection:
        connection.execute(update(usage).values(rolled_up=True))
    database.close()
    shown = site.run("rerate", MONTH, "--apply")
    said = f"fairlane: usage of {MONTH} was rolled up: it keeps its price\n"
    assert (1, said) == (shown.exit_code, shown.stderr)
    assert [] == site.facts("ledger", "entries")


def test_a_month_without_money_is_closed_when_it_is_over(site: MoneySite) -> None:
    """Of every ISP, or of one; the month that is not over is not, and nor is one of an
    ISP that nobody knows."""
    words = "nothing is booked in 2024-02\n"
    assert words == site.out("ledger", "close", "2024-02", "--isp", "aurora")
    assert [] == site.facts("ledger", "close", "2024-02")
    result = site.run("ledger", "close", "2999-01")
    said = "fairlane: 2999-01 is not over (month_not_over)\n"
    assert (1, said) == (result.exit_code, result.stderr)
    result = site.run("ledger", "close", "2024-02", "--isp", "radio")
    assert (1, True) == (result.exit_code, "nothing of 'radio'" in result.stderr)


def test_what_money_commands_do_they_tell_as_json_too(site: MoneySite) -> None:
    """Levies, closings, what expired, what was recycled: one object a line."""
    site.out("rerate", MONTH, "--apply")
    assert [{"entries": 2}] == site.facts("ledger", "levy", MONTH)
    [closed] = site.facts("ledger", "close", MONTH)
    assert {
        "tenant": "aurora",
        "zone": "UTC",
        "month": MONTH,
        "refusal": None,
    } == closed
    assert [{"expired": 0}] == site.facts("purchases", "expire")
    assert [{"recycled": 0, "rated": 0}] == site.facts("bsp-usage", "recycle")
    site.sell_film(catalogue(site), "aurora-102")
    [waits] = site.facts("purchases", "recycle")
    assert ("pending", "unknown_user") == (waits["state"], waits["denial"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("statement", "list", "--recipient", "radio"),
            "no ISP or BSP is called 'radio'",
        ),
        (("bsp-usage", "rejected", "--bsp", "radio"), "no bsp called 'radio'"),
        (("bsp-usage", "recycle", "--bsp", "radio"), "no bsp called 'radio'"),
        (("ledger", "entries", "--party", "radio"), "no bsp called 'radio'"),
        (("leases", "--line", "radio"), "no line called 'radio'"),
        (
            ("balances", "topup", "aurora-101", "more"),
            "sold to 'aurora-101'; there is none",
        ),
        (("statement", "show", "aurora", MONTH, "--csv", "--json"), "either --csv or"),
        (("usage", "--recycle", "--state", "open"), "it has no filter"),
        (("usage", "--since", "5m", "--until", "1h"), "--until is before --since"),
        (("balances", "events", "--service", "radio"), "no service called 'radio'"),
        (
            ("overallocation", "approve", "1", "--isp", "radio"),
            "the network has no isp called 'radio' to act for",
        ),
    ],
)
def test_what_cannot_be_meant_is_said(
    site: MoneySite, command: tuple[str, ...], words: str
) -> None:
    """A name that nobody has, options that exclude each other."""
    assert words in site.run(*command).stderr


def test_a_command_waits_for_no_address_server_that_does_not_run(
    site: MoneySite,
) -> None:
    """It is kept, with its number, and carried out when the server runs."""
    result = site.run("overallocation", "deny", "1", "--key", "k")
    said = "command 1 waits for the address server, which carries it out when it runs\n"
    assert (1, said) == (result.exit_code, result.stderr)
    again = site.run("overallocation", "deny", "1", "--key", "k", "--json")
    assert (1, None) == (again.exit_code, json.loads(again.stdout)["result"])
