"""What the shipped RADIUS dictionary promises to the decoder."""

from __future__ import annotations

import io
import logging

import pytest
from pyrad.dictionary import Dictionary

from config.radius_dictionary import (
    ROOT,
    TYPES,
    DictionaryError,
    compile_tables,
    read,
    tables,
)


def _definitions(keyword: str) -> list[tuple[str, list[str]]]:
    return [
        (path.name, line.split())
        for path in sorted(ROOT.parent.iterdir())
        for line in path.read_text().splitlines()
        if line.startswith(keyword + " ")
    ]


def test_pyrad_reads_the_dictionary_without_skipping_or_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No attribute is skipped and no value is ignored."""
    with caplog.at_level(logging.DEBUG, logger="pyrad"):
        dictionary = read()

    assert set() == dictionary.skipped_attributes
    assert caplog.records == []


def test_every_file_is_included() -> None:
    """A file that nobody includes would be dead."""
    included = {words[1] for _, words in _definitions("$INCLUDE")}

    assert {path.name for path in ROOT.parent.iterdir()} == included | {ROOT.name}


def test_no_definition_hides_another() -> None:
    """Names are unique, and so are numbers within a vendor: each line is in a table."""
    known = tables()
    compiled = [entry for entry in known.standard if entry is not None]
    compiled += [entry for many in known.vendors.values() for entry in many.values()]
    names = {words[1] for _, words in _definitions("ATTRIBUTE")}

    assert len(_definitions("ATTRIBUTE")) == len(compiled) == len(names)
    assert names == {entry.name for entry in compiled}


def test_no_named_value_hides_another() -> None:
    """Each VALUE line gives one number of one attribute its only name."""
    known = tables()
    compiled = [entry for entry in known.standard if entry is not None]
    compiled += [entry for many in known.vendors.values() for entry in many.values()]

    assert len(_definitions("VALUE")) == sum(len(entry.values) for entry in compiled)


def test_every_number_finds_its_own_attribute() -> None:
    """A slot holds the attribute of its number, with a type that can be shown."""
    known = tables()
    for vendor in (0, *known.vendors):
        for code in range(256):
            entry = known.find(vendor, code)
            if entry is not None:
                assert (vendor, code) == (entry.vendor, entry.code)
                assert entry.type in TYPES


@pytest.mark.parametrize(
    ("vendor", "code", "name", "kind"),
    [
        (0, 1, "User-Name", "string"),
        (0, 25, "Class", "octets"),
        (0, 40, "Acct-Status-Type", "integer"),
        (0, 52, "Acct-Input-Gigawords", "integer"),
        (0, 55, "Event-Timestamp", "date"),
        (0, 89, "Chargeable-User-Identity", "octets"),
        (0, 96, "Framed-Interface-Id", "ifid"),
        (0, 97, "Framed-IPv6-Prefix", "ipv6prefix"),
        (0, 101, "Error-Cause", "integer"),
        (0, 123, "Delegated-IPv6-Prefix", "ipv6prefix"),
        (0, 126, "Operator-Name", "string"),
        (0, 144, "DS-Lite-Tunnel-Name", "string"),
        (0, 168, "Framed-IPv6-Address", "ipv6addr"),
        (3561, 1, "Agent-Circuit-Id", "string"),
        (3561, 2, "Agent-Remote-Id", "string"),
        (3561, 130, "Actual-Data-Rate-Downstream", "integer"),
        (9, 1, "Cisco-AVPair", "string"),
        (9, 250, "Cisco-Account-Info", "string"),
        (4874, 65, "ERX-Service-Activate", "string"),
        (14988, 8, "Mikrotik-Rate-Limit", "string"),
        (6527, 11, "Alc-Subsc-ID-Str", "string"),
        (2011, 60, "Huawei-IP-Host-Address", "string"),
        (2352, 128, "RB-Acct-Input-Octets-64", "integer64"),
        (311, 25, "MS-CHAP2-Response", "octets"),
    ],
)
def test_what_broadband_gear_sends_has_its_name(
    vendor: int, code: int, name: str, kind: str
) -> None:
    """The numbers of RFC 2865 and after, and of the vendors, are the registry's."""
    entry = tables().find(vendor, code)

    assert entry is not None
    assert (name, kind) == (entry.name, entry.type)


def test_enumerations_are_complete() -> None:
    """RFC 2866 sections 5.1 and 5.10, RFC 2867 section 3, RFC 3580 section 2.2."""
    known = tables()
    status, cause, error = (known.find(0, code) for code in (40, 49, 101))

    assert status is not None
    assert {1, 2, 3, *range(7, 16)} == set(status.values)
    assert cause is not None
    assert set(range(1, 23)) == set(cause.values)
    assert cause.values[11] == "NAS-Reboot"
    assert error is not None
    assert {201, 202, *range(401, 408), *range(501, 510), 601} == set(error.values)


def test_tunnel_attributes_are_tagged_and_their_password_salted() -> None:
    """RFC 2868 section 3: ten attributes carry a tag, one of them a salt."""
    tagged = [entry for entry in tables().standard if entry and entry.has_tag]

    assert {64, 65, 66, 67, 69, 81, 82, 83, 90, 91} == {e.code for e in tagged}
    assert [entry.code for entry in tagged if entry.encrypted == 2] == [69]


def test_a_dictionary_that_cannot_be_decoded_is_refused_with_its_attributes() -> None:
    """What pyrad skips, or our decoder cannot show, is an error that names it."""
    unknown = io.StringIO("ATTRIBUTE Roof octets[1]\n".replace("octets[1]", "1 bool"))
    nested = io.StringIO("ATTRIBUTE Wall 2 tlv\nATTRIBUTE Brick 2.1 integer\n")

    with pytest.raises(DictionaryError, match=r"Brick.*Wall|Roof.*Brick"):
        compile_tables(Dictionary(nested))
    with pytest.raises(DictionaryError, match="Roof"):
        compile_tables(Dictionary(unknown))
