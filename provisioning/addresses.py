"""Postal addresses: written in many ways, compared in one.

``normalise`` brings an address to one spelling and takes the house number, the unit and
the postcode out of it; those must be equal, because 12 and 21 are one slip apart and
two different customers. What is left is compared by likeness (rapidfuzz), among the
few candidates that an index gives: same postcode, or a street that sounds alike.
Nothing below ``ACCEPT`` is taken without a person who chooses.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rapidfuzz import fuzz

ACCEPT: Final = 92
"""The score, of 100, from which the one best candidate is taken by itself: one slip in
a street of ten letters is above it, another street of the same city is below."""

LEAD: Final = 4
"""By so many points the best must lead the next, or a person chooses."""

CLEAR: Final = ACCEPT + LEAD
"""From this score one with the postcode that was asked for needs no look at others: a
postcode that differs is at most 12 parts of 13 alike, which scores 92. Shorter ones are
less alike; see ``is_clear``."""

CANDIDATES: Final = 10
"""So many are shown; who does not find his among ten types more."""

SHOW: Final = 60
"""Below this score a candidate is no help."""

LENGTH: Final = 200
"""Characters of an address that are read; longer ones are refused before."""

_WORDS: Final = {
    "st": "street",
    "str": "street",
    "strasse": "street",
    "rd": "road",
    "ave": "avenue",
    "av": "avenue",
    "ln": "lane",
    "dr": "drive",
    "sq": "square",
    "ct": "court",
    "pl": "place",
    "blvd": "boulevard",
    "hwy": "highway",
    "qy": "quay",
    "apartment": "unit",
    "apt": "unit",
    "flat": "unit",
    "no": "",
    "nr": "",
    "number": "",
}
_UNIT: Final = re.compile(r"\bunit ([0-9a-z]+)\b")
_SLASHED: Final = re.compile(r"\b([0-9]+[a-z]?)/([0-9]+[a-z]?)\b")
_POSTCODE: Final = re.compile(
    r"\b([a-z]{1,2}[0-9][0-9a-z]? ?[0-9][a-z]{2}|[0-9]{4} ?[a-z]{2}|[0-9]{4,6})\b"
)
_NUMBER: Final = re.compile(r"\b([0-9]{1,5}[a-z]?)\b")
_BLANKS: Final = re.compile(r"[\s,.;:#'\-_()]+")
_VOWELS: Final = re.compile(r"[aeiouyhw]")
_TWICE: Final = re.compile(r"(.)\1+")


class Address(NamedTuple):
    """An address in its one spelling; each part is "" where it is not written."""

    number: str
    unit: str
    postcode: str
    words: str

    @property
    def normal(self) -> str:
        """The whole, as one line: equal lines are the same address."""
        return f"{self.number}|{self.unit}|{self.postcode}|{self.words}"

    @property
    def postcode_key(self) -> str:
        """Postcode and number: few addresses share both."""
        return f"{self.postcode} {self.number}" if self.postcode else ""

    @property
    def street_key(self) -> str:
        """How the first two words sound, with the number: what an index is made of."""
        words = self.words.split()[:2]
        return " ".join([*map(_sound, words), self.number]) if words else ""


class Candidate(NamedTuple):
    """A known site and how well its address fits what was asked, 0 to 100."""

    site: str
    address: str
    score: int


def from_normal(line: str) -> Address:
    """Read ``Address.normal`` back."""
    return Address(*line.split("|"))


def normalise(text: str) -> Address:
    """Bring an address to its one spelling."""
    plain = text[:LENGTH].casefold().replace("|", " ")
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(c for c in plain if not unicodedata.combining(c))
    if "/" in plain:
        plain = _SLASHED.sub(r"unit \1 \2", plain)  # 3/12: unit 3 of number 12
    words = [_WORDS.get(word, word) for word in _BLANKS.split(plain)]
    line = " ".join([word for word in words if word])
    unit, line = _take(_UNIT, line, last=False) if "unit" in line else ("", line)
    postcode, line = _take(_POSTCODE, line, last=True)
    number, line = _take(_NUMBER, line, last=False)
    if not number and postcode and plain.lstrip().startswith(postcode):
        # A long number that comes first is the house's.
        number, postcode = postcode, ""
    return Address(number, unit, postcode.replace(" ", ""), " ".join(line.split()))


def _take(pattern: re.Pattern[str], line: str, *, last: bool) -> tuple[str, str]:
    if last:
        match = None
        for match in pattern.finditer(line):  # noqa: B007  the last one is wanted
            pass
    else:
        match = pattern.search(line)
    if match is None:
        return "", line
    return match[1], f"{line[: match.start()]} {line[match.end() :]}"


def _sound(word: str) -> str:
    return _TWICE.sub(r"\1", word[0] + _VOWELS.sub("", word[1:]))


def score(asked: Address, known: Address) -> int:
    """Say how alike two addresses are; another house number is never alike.

    Where no number was asked for, all of a street are alike, and none can be taken.
    """
    if asked.number and (asked.number, asked.unit) != (known.number, known.unit):
        return 0
    most = 100 if asked.number == known.number else ACCEPT - 1
    return min(most, _likeness(asked, known))


def _likeness(asked: Address, known: Address) -> int:
    # A slip in a first letter would sort a word elsewhere: as written may be liker.
    likeness = fuzz.ratio(asked.words, known.words)
    likeness = max(likeness, fuzz.token_sort_ratio(asked.words, known.words))
    if asked.postcode == known.postcode:
        return round(likeness)
    if asked.postcode and known.postcode:
        return round(min(likeness, fuzz.ratio(asked.postcode, known.postcode)))
    # One of the two has no postcode, and often no town: what is written must be there.
    return round(max(likeness, fuzz.token_set_ratio(asked.words, known.words)))


def rank(asked: Address, known: Iterable[tuple[str, str, str]]) -> list[Candidate]:
    """Give the best among (site, address as written, ``normal``), the best first."""
    same = asked.normal
    good = []
    for site, text, line in known:
        points = 100 if line == same else score(asked, from_normal(line))
        if points >= SHOW:
            good.append(Candidate(site, text, points))
    if len(good) > 1:
        good.sort(key=lambda c: (-c.score, c.site))
    return good[:CANDIDATES]


def accepted(candidates: Sequence[Candidate]) -> Candidate | None:
    """Give the candidate that may be taken without asking a person."""
    if not candidates or candidates[0].score < ACCEPT:
        return None
    if len(candidates) > 1 and candidates[0].score - candidates[1].score < LEAD:
        return None
    return candidates[0]


def is_clear(candidates: Sequence[Candidate], postcode: str) -> bool:
    """Tell whether one of those with the postcode asked for is it, whoever else there
    is: as the one that is equal to the letter is."""
    best = accepted(candidates)
    return best is not None and best.score >= _CLEAR.get(len(postcode), CLEAR)


_CLEAR: Final = {
    # Most alike is a postcode that has one character more, or one that has one less.
    length: LEAD + max(ACCEPT - LEAD, round(200 * length / (2 * length + 1)))
    for length in (4, 5)
}
