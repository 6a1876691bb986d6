"""The chain of digests through the ledger: what was written cannot change unseen.

A batch's digest is SHA-256 over the digest of the batch before it, the batch's own
facts, and its entries in order, each as one line of JSON: an array of values without
blanks, UTF-8, ended by a line feed. Anyone can compute it from a dump of the tables. It
is chained by batch and not by entry: thousands of entries are then one call of the
encoder and one of the hash, and need no 32 octets a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

GENESIS: Final = bytes(32)
"""What the first batch is chained to."""

_lines = msgspec.json.Encoder().encode_lines


class Digest:
    """The digest of one batch, fed in order and in any slices."""

    def __init__(self, previous: bytes) -> None:
        self._hash = hashlib.sha256(previous)

    def feed(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take the next rows, whole, in the order of their columns."""
        self._hash.update(_lines(rows))

    def value(self) -> bytes:
        """Give the digest of everything fed so far: 32 octets."""
        return self._hash.digest()
