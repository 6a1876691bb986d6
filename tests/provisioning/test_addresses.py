"""Which address is meant: what may be taken without looking further."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provisioning.addresses import CLEAR, LEAD, Address, score

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
