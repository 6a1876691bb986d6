"""``fairlane rate``: usage in by file or pipe, a bill out, and which rule applies."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

import config
from daemon.cli import main

DEMO = str(Path(config.__file__).with_name("demo-network.toml"))
ROWS = [
    {
        "started_at": "2026-10-24T20:00:00",
        "ended_at": "2026-10-25T04:00:00",
        "input_octets": "10000000000",
        "output_octets": "500000000000",
    },
    {
        "started_at": "2026-10-25T06:00:00+02:00",
        "ended_at": "1792969200",
        "input_octets": "",
        "output_octets": "19000000000",
    },
]


def rate(*arguments: str, usage: str = "", tariff: str = "aurora-home") -> Result:
    """Run the command on the demo's network."""
    command = ["rate", "--tariff", tariff, "--network", DEMO, *arguments]
    return CliRunner().invoke(main, command, input=usage)


def as_csv() -> str:
    """The rows as a spreadsheet writes them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


def as_json_lines() -> str:
    """The rows as `fairlane usage --json` writes them."""
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in ROWS)


@pytest.mark.parametrize("usage", [as_csv(), as_json_lines()])
def test_a_month_is_billed_line_by_line_and_in_sum(usage: str) -> None:
    """Night has 513 GB and day 16; day gets of the 500 first: 29 GB at 5 cents."""
    result = rate("--usage", "-", "--json", usage=usage)
    assert result.exit_code == 0, result.output
    lines = [msgspec.json.decode(line) for line in result.stdout.splitlines()]
    assert [
        ("data by day", "included usage", 16 * 10**9, "0.000000"),
        ("data by night", "included usage", 484 * 10**9, "0.000000"),
        ("data by night", "non included usage", 29 * 10**9, "1.450000"),
        ("subscription", "usage", 1, "39.000000"),
    ] == [(li["element"], li["tag"], li["quantity"], li["amount"]) for li in lines[:-1]]
    assert {"element": "sum", "amount": "40.450000", "currency": "EUR"} == lines[-1]
    table = rate("--usage", "-", usage=usage)
    assert "EUR" in table.stdout
    assert "40.450000" in table.stdout
    assert "exhausted: throttle" in table.stderr


def test_what_a_bill_depends_on_besides_use_can_be_told() -> None:
    """Billed from 16 to 20 October: 20 of 31 days of 39.00 less 15, and the activation.
    256 addresses lent to an ISP for a day cost 0.002 an hour each. A top-up that is not
    sold is said to be none."""
    days = ("--billed-from", "2026-10-16", "--billed-until", "2026-10-21")
    bill = rate("--usage", "-", "--json", *days, usage=as_csv())
    lines = [msgspec.json.decode(line) for line in bill.stdout.splitlines()]
    assert [("activation", "25.000000"), ("subscription", "6.290322")] == [
        (li["element"], li["amount"]) for li in lines if li.get("unit") == "fee"
    ]
    lent = ("--loan", "256", "2026-10-01T00:00", "2026-10-02T00:00")
    bill = rate("--usage", "-", "--json", *lent, usage="", tariff="open-access")
    (line, _) = (msgspec.json.decode(line) for line in bill.stdout.splitlines())
    assert ("loaned addresses", "12.288000") == (line["element"], line["amount"])
    bought = ("--topup", "2026-10-24T21:00", "more")
    bill = rate("--usage", "-", *bought, usage="started_at,ended_at\n")
    said = "fairlane: tariff 'aurora-home' sells no top-up called 'more'; there is "
    assert (1, True) == (bill.exit_code, bill.stderr.startswith(said))
    assert "'" in bill.stderr.removeprefix(said)


def test_the_rule_that_applies_at_a_time_is_told(tmp_path: Path) -> None:
    """By the clock on the tariff's wall: 06:30 in Stockholm is day."""
    night = rate("--at", "2026-10-25T01:30:00", "--json")
    assert {
        "version": "2026-01-01",
        "period": "2026-10-01",
        "windows": ["night"],
        "rates": ["data by night"],
        "from": "2026-10-24T22:00:00Z",
        "until": "2026-10-25T05:00:00Z",
    } == msgspec.json.decode(night.stdout)
    assert "data by day" in rate("--at", "2026-10-25T05:30:00").stdout
    more = rate("--at", "2026-10-25", "--topup", "2026-10-25", "100 GB more")
    assert (2, True) == (more.exit_code, "the rest is for --usage" in more.stderr)
    early = rate("--at", "2020-01-01")
    assert (1, "fairlane: tariff 'aurora-home' is not in force then\n") == (
        early.exit_code,
        early.stderr,
    )


@pytest.mark.parametrize(
    ("usage", "problem"),
    [
        ("started_at\n1\n", "line 2: ended_at is missing"),
        ("started_at,ended_at\nx,2\n", "line 2: started_at: 'x' is no time"),
        (
            "started_at,ended_at\n3,2\n",
            "line 2: started_at must be after 1970 and not after ended_at",
        ),
        (
            "started_at,ended_at,input_octets\n1,2,-5\n",
            "line 2: input_octets: '-5' is no whole number from 0 on",
        ),
        ("started_at,ended_at\n1,2,3\n", "line 2: more cells than the header"),
        (
            "started_at,ended_at,output_octets\n1,2\n",
            "line 2: fewer cells than the header",
        ),
        (
            "started_at,ended_at,seconds,seconds\n1,2,3,4\n",
            "line 1: the header has a name twice",
        ),
        (
            'started_at,ended_at\n1,"' + "9" * 200_000 + '"\n',
            "behind line 1: field larger than field limit (131072)",
        ),
        (
            '{"started_at": 1, "ended_at": 2, "output_octets": 1.5}',
            "line 1: output_octets: 1.5 is no whole number from 0 on",
        ),
        (
            '{"started_at": 1, "units": 1, "units": 100, "ended_at": 2}',
            "line 1: the key 'units' stands twice in one object",
        ),
        ('{"started_at": 1, "ended_at": 2}\n{"a"', "line 2: Input data was truncated"),
    ],
)
def test_a_file_that_is_not_usage_is_refused_with_its_line(
    usage: str, problem: str
) -> None:
    """One line of error, exit code 1, and no bill."""
    result = rate("--usage", "-", usage=usage)
    assert (1, "", f"fairlane: -: {problem}\n") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )


def test_what_a_file_says_is_what_is_rated(tmp_path: Path) -> None:
    """A record of no seconds is of none, though times are told; a correction takes
    octets back; a session that began in September pays its connect fee there; and a
    byte order mark is nothing. 100 s and 2 GB less 1 are 1.00 and 0.10."""
    network = tmp_path / "network.toml"
    network.write_text(BY_SESSION)
    record = {"started_at": 1_791_000_000, "ended_at": 1_791_000_100, "seconds": 100}
    record |= {"session_id": 7, "session_started_at": "2026-09-30T12:00:00Z"}
    late = record | {"seconds": 0, "derived": "corrected", "output_octets": -(10**9)}
    records = [record | {"output_octets": 2 * 10**9}, late]
    file = tmp_path / "usage"
    file.write_text(
        "\ufeff" + "".join(msgspec.json.encode(r).decode() + "\n" for r in records)
    )
    command = ["rate", "--tariff", "home", "--network", str(network), "--json"]
    result = CliRunner().invoke(main, [*command, "--usage", str(file)])
    assert result.exit_code == 0, result.output
    lines = [msgspec.json.decode(line) for line in result.stdout.splitlines()]
    assert [("octets", "0.100000"), ("time", "1.000000"), ("sum", "1.100000")] == [
        (line["element"], line["amount"]) for line in lines
    ]


BY_SESSION = """
[[isp]]
name = "aurora"
[[tariff]]
name = "home"
isp = "aurora"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2026-01-01"
rate = [
  { name = "time", measure = "seconds", price = "1", per = "100 s", connect_fee = "5" },
  { name = "octets", measure = "sum", price = "0.10", per = "1 GB" },
]
"""


def test_what_cannot_be_asked_is_told() -> None:
    """An unknown tariff names those there are; usage before any version is counted."""
    assert (
        "there is 'open-access', 'aurora-start', 'aurora-home', 'filmhouse-minutes'"
        in rate("--at", "0", tariff="home").stderr
    )
    assert rate().exit_code == 2
    assert rate("--usage", "/nowhere/at-all").exit_code == 1
    old = rate("--usage", "-", usage="started_at,ended_at\n1,2\n")
    assert "1 records not rated: no_version_in_force" in old.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--billed-from", "2026-10-21", "--billed-until", "2026-10-21"),
            "--billed-until is not after --billed-from",
        ),
        (("--loan", "256", "2026-10-21", "2026-10-20"), "a --loan ends before"),
    ],
)
def test_spans_that_end_before_they_begin_are_a_wrong_use(
    words: tuple[str, ...], said: str
) -> None:
    """They would cost nothing, in silence."""
    result = rate("--usage", "-", *words, usage=as_csv())
    assert (2, True) == (result.exit_code, said in result.stderr)
