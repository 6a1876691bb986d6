"""Which address is meant: what may be taken without looking further."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provisioning.addresses import (
    ACCEPT,
    CLEAR,
    LEAD,
    Address,
    Candidate,
    is_clear,
    normalise,
    score,
)

POSTCODES = st.from_regex(
    r"[a-z]{1,2}[0-9][0-9a-z]?[0-9][a-z]{2}|[0-9]{4}[a-z]{2}|[0-9]{4,6}", fullmatch=True
)


@given(POSTCODES, POSTCODES, st.sampled_from(["quay street porthaven", "a"]))
def test_another_postcode_is_never_near_one_that_is_clear(
    asked: str, known: str, words: str
) -> None:
    """Though all else is equal it is behind by as much as the best must lead."""
    found = score(Address("3", "", asked, words), Address("3", "", known, words))

    assert asked == known or found <= CLEAR - LEAD


@given(POSTCODES, POSTCODES, st.integers(ACCEPT, 100))
def test_what_is_clear_leads_every_other_postcode(
    asked: str, known: str, best: int
) -> None:
    """Short postcodes are less alike, so less is enough: for each length the lead over
    the likest of others decides."""
    words = "quay street porthaven"
    other = score(Address("3", "", asked, words), Address("3", "", known, words))

    if is_clear([Candidate("site", "as written", best)], asked):
        assert asked == known or best - other >= LEAD
    else:
        assert best < CLEAR


@given(st.integers(0, 16), st.sampled_from("bqxz"))
def test_a_slip_is_forgiven_at_every_letter(place: int, letter: str) -> None:
    """In a first letter too, where a word that is sorted would be sorted elsewhere."""
    right = "3 Long Orchard Street, Porthaven, 47110"
    letters = [i for i, one in enumerate(right) if one.isalpha()]
    at = letters[place]
    slip = right[:at] + letter + right[at + 1 :]

    assert ACCEPT <= score(normalise(slip), normalise(right))
