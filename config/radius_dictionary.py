"""Which RADIUS attributes have a name, a type and named values.

pyrad parses the files beside this module once; what is kept is our own small tables,
because a look-up must cost one index and because pyrad's classes are not for typed
code. The parsed dictionary itself is for pyrad's packets: the change-of-authorization
client, and the tests that hold our decoder against pyrad's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pyrad.dictionary import Dictionary

ROOT = Path(__file__).parent / "dictionary" / "dictionary"
"""The file that includes all others."""

TYPES = frozenset(
    {
        "byte",
        "date",
        "ether",
        "ifid",
        "integer",
        "integer64",
        "ipaddr",
        "ipv6addr",
        "ipv6prefix",
        "octets",
        "short",
        "signed",
        "string",
    }
)
"""The data types that the decoder can show (RFC 8044 section 3)."""


class DictionaryError(Exception):
    """The dictionary uses what the decoder cannot show; names each attribute."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is known of one attribute.

    ``code`` is its number, ``vendor`` the enterprise number (0: the standard space),
    ``type`` one of ``TYPES``, ``values`` the names of its numbers, ``has_tag`` whether
    RFC 2868 section 3 applies, ``encrypted`` how its value is hidden: 0 not, 1 as
    User-Password (RFC 2865 section 5.2), 2 with a salt (RFC 2868 section 3.5).
    """

    name: str
    code: int
    vendor: int
    type: str
    values: Mapping[int, str]
    has_tag: bool
    encrypted: int


@dataclass(frozen=True, slots=True)
class AttributeTables:
    """All attributes, by number.

    ``standard`` has 256 slots; ``vendors`` maps an enterprise number to the vendor's
    attributes; ``vendor_names`` names the enterprises.
    """

    standard: tuple[Attribute | None, ...]
    vendors: Mapping[int, Mapping[int, Attribute]]
    vendor_names: Mapping[int, str]

    def find(self, vendor: int, code: int) -> Attribute | None:
        """Give the attribute ``code`` of ``vendor`` (0: standard), or None."""
        if vendor:
            return self.vendors.get(vendor, {}).get(code)
        return self.standard[code]


def read(path: Path = ROOT) -> Dictionary:
    """Parse dictionary files with pyrad; raises its ParseError, or OSError."""
    return Dictionary(str(path))


def compile_tables(dictionary: Dictionary) -> AttributeTables:
    """Make our tables of a parsed dictionary.

    Raises DictionaryError when pyrad skipped an attribute or the decoder knows no such
    type: an attribute silently missing would show as unknown for years.
    """
    strange = sorted(
        name
        for name, entry in dictionary.attributes.items()
        if entry.type not in TYPES or entry.is_sub_attribute
    )
    if strange or dictionary.skipped_attributes:
        names = ", ".join([*sorted(dictionary.skipped_attributes), *strange])
        msg = f"attributes of a type that cannot be decoded: {names}"
        raise DictionaryError(msg)
    standard: list[Attribute | None] = [None] * 256
    vendors: dict[int, dict[int, Attribute]] = {}
    for entry in dictionary.attributes.values():
        vendor = dictionary.vendors.GetForward(entry.vendor)
        attribute = _compile(entry, vendor)
        if vendor:
            vendors.setdefault(vendor, {})[attribute.code] = attribute
        else:
            standard[attribute.code] = attribute
    return AttributeTables(
        standard=tuple(standard),
        vendors=vendors,
        vendor_names={
            number: name for name, number in dictionary.vendors.forward.items() if name
        },
    )


def _compile(entry: Any, vendor: int) -> Attribute:
    # pyrad keeps the values as they go on the wire.
    values = {
        int.from_bytes(octets, signed=entry.type == "signed"): name
        for name, octets in entry.values.forward.items()
    }
    return Attribute(
        name=entry.name,
        code=entry.code,
        vendor=vendor,
        type=entry.type,
        values=values,
        has_tag=entry.has_tag,
        encrypted=entry.encrypt,
    )


@cache
def tables() -> AttributeTables:
    """Give the tables of the shipped dictionary, read at the first call."""
    return compile_tables(read())
