"""Lines as text, for people and the database, and back: one, or very many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LineId = str | bytes
"""A line: its name in the network, or what stands for it as octets."""

_LABELS: Final = {1: "circuit", 2: "remote", 6: "subscriber", 61: "client", 0: "mac"}
_CODES: Final = {label: code.to_bytes(1) for code, label in _LABELS.items()}
_PLAIN: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"/%:")
_SHOWN: Final = [chr(o) if o in _PLAIN else f"%{o:02X}" for o in range(256)]
_show: Final = _SHOWN.__getitem__


class _Hidden(dict[bytes, bytes]):
    def __missing__(self, digits: bytes) -> bytes:
        return b"%" + digits  # not what ``line_text`` wrote: it stands for itself


_HIDDEN: Final = _Hidden((b"%02X" % o, bytes((o,))) for o in range(256))


class _Lengths(dict[int, bytes]):
    def __missing__(self, length: int) -> bytes:
        return length.to_bytes(2)


_LENGTHS: Final = _Lengths((length, length.to_bytes(2)) for length in range(256))

_BETWEEN: Final = b"\n/\n/"
"""What stands between words while they are read together; no text has it."""


def part_of(code: int, octets: bytes) -> bytes:
    """Write one of the identifiers that stand for a line."""
    return code.to_bytes(1) + len(octets).to_bytes(2) + octets


def _scope(scope: str) -> bytes:
    octets = scope.encode()
    return len(octets).to_bytes(1) + octets


def _part(label: str, octets: bytes) -> bytes:
    return _CODES[label] + len(octets).to_bytes(2) + octets


def line_text(line: LineId) -> str:
    """Write a line for people and the database; a name stays what it is.

    What has no name reads ``127.0.0.1/circuit:ge-0%2F0``: a name has no "/" in it.
    """
    if isinstance(line, str):
        return line
    place, end = 1 + line[0], len(line)
    text = line[1:place].decode()
    while place < end:
        label, start = _LABELS[line[place]], place + 3
        place = start + (line[place + 1] << 8 | line[place + 2])
        shown = "".join(map(_show, line[start:place]))
        text += f"/{label}:{shown}"
    return text


def line_of(text: str) -> LineId:
    """Read what ``line_text`` wrote."""
    scope, *words = text.split("/")
    if not words:
        return text
    line = _scope(scope)
    for word in words:
        label, _, shown = word.partition(":")
        line += _part(label, _octets_of(shown.encode()))
    return line


def lines_of(texts: Sequence[str]) -> list[LineId]:
    """Read many at once, at a fraction of the price."""
    nameless = [text for text in texts if "/" in text]
    if not nameless:
        return list(texts)
    if "".join(nameless).count("/") == len(nameless):
        lines = _lines_of_one_part(nameless)
    else:
        lines = [line_of(text) for text in nameless]
    if len(nameless) == len(texts):
        return lines
    following = iter(lines)
    return [next(following) if "/" in text else text for text in texts]


def _lines_of_one_part(texts: list[str]) -> list[LineId]:
    """Read lines that have one "/" each, and so one identifier."""
    split = [text.partition(":") for text in texts]
    heads = {head: head.partition("/") for head in {head for head, _, _ in split}}
    if not all(slash for _, slash, _ in heads.values()):  # the scope has a ":"
        return [line_of(text) for text in texts]
    begun = {h: _scope(scope) + _CODES[label] for h, (scope, _, label) in heads.items()}
    hidden = _unhidden([shown for _, _, shown in split])
    return [
        begun[head] + _LENGTHS[len(octets)] + octets
        for (head, _, _), octets in zip(split, hidden, strict=True)
    ]


def _unhidden(shown: list[str]) -> list[bytes]:
    """Bring back the octets that are written as hexadecimal."""
    joined = _octets_of("\n/\n/".join(shown).encode())
    octets = joined.split(_BETWEEN)
    if len(octets) == len(shown):
        return octets
    return [_octets_of(word.encode()) for word in shown]


def _octets_of(shown: bytes) -> bytes:
    # Most have a "/" and a ":" at most, which are found without looking at each.
    first, *rest = shown.replace(b"%2F", b"/").replace(b"%3A", b":").split(b"%")
    return first + b"".join([_HIDDEN[piece[:2]] + piece[2:] for piece in rest])
