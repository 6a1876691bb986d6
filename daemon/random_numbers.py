"""Numbers that nobody can foretell, a thousand for one system call."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

_NUMBERS = 1024
_FORMAT = struct.Struct(f"{_NUMBERS}Q")


def unforeseeable() -> Iterator[float]:
    """Give numbers in [0, 1) from the kernel, for ever."""
    while True:
        for number in _FORMAT.unpack(os.urandom(_FORMAT.size)):
            yield (number >> 11) * 2.0**-53
