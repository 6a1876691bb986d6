"""The character that JSON can say and a database cannot keep: U+0000.

PostgreSQL refuses it in text, for as long as it is asked; so it is refused where it
comes in, before it can stop a batch or be asked for again without end.
"""

from __future__ import annotations

import re
from typing import Final

from provisioning.refusal import Refusal

# An escape is one after an even number of backslashes: the last is not escaped itself.
_ESCAPED: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

REFUSED: Final = Refusal("nul_character", "", "U+0000 is in no text that is kept")


def has_nul(encoded: bytes) -> bool:
    """Tell whether a JSON text has U+0000 in a string, or anywhere."""
    return b"\0" in encoded or (
        b"u0000" in encoded and _ESCAPED.search(encoded) is not None
    )
