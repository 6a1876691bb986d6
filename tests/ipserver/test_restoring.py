"""A start that takes leases by the thousand comes to the state of one that takes each
record after the other."""

from __future__ import annotations

from typing import Any

import pytest
from access_network import NOW, Site, network
from hypothesis import given
from hypothesis import strategies as st

from config.over_allocation import OverAllocation
from ipserver import records
from ipserver.allocation import Allocation
from ipserver.answer import Ack
from ipserver.lease_table import (
    COOLING,
    DECLINED,
    FREE,
    GIVEN_UP,
    IN_WHEEL,
    LEASED,
    OWN,
)
from ipserver.line_texts import line_of, line_text, lines_of, part_of
from ipserver.reasons import Reason
from ipserver.records import Bound, Ended
from storage.lease_rows import columns_of

_SERVED = network(
    prefix="100.64.0.0/28",
    over_allocation=(OverAllocation(block_prefix_length=30),),
)
_FIRST = int.from_bytes(bytes((100, 64, 0, 0)))
_OTHER, _RESERVE, _NOWHERE = (
    int.from_bytes(bytes((100, n, 0, 1))) for n in (65, 66, 70)
)

nameless = st.builds(
    lambda parts: b"\x09192.0.2.1" + b"".join(part_of(*part) for part in parts),
    st.lists(
        st.tuples(
            st.sampled_from((0, 1, 2, 6, 61)),
            st.binary(max_size=6) | st.sampled_from((b"ge-0/0/1:7", b"\n/\n/%2F%")),
        ),
        min_size=1,
        max_size=3,
    ),
)
lines = st.sampled_from(("line-0", "line-1", "line-2")) | nameless
addresses = st.sampled_from(
    (*[_FIRST] * 4, *[_FIRST + 1] * 4, _FIRST + 4, _OTHER, _RESERVE, _NOWHERE)
)
moments = st.integers(NOW - 9000, NOW + 300)
spans = st.integers(0, 9000)


def _bound(at: int, span: int, address: int, line: Any, mac: int, kind: int) -> bytes:
    hardware = bytes((1, mac))
    return records.bound(
        *(at, at + span, address, 0, kind, records.place("p", "i", "i", "")),
        *(line_text(line), "service", hardware, hardware[:mac], b"agent" * mac),
    )


_octet = st.integers(0, 3)
entry = (
    st.builds(_bound, moments, spans, addresses, lines, _octet, _octet)
    | st.builds(
        lambda at, s, a: records.extended(at, at + s, a), moments, spans, addresses
    )
    | st.builds(records.ended, moments, addresses, st.sampled_from(records.ENDS))
    | st.builds(
        lambda at, s, a, line: records.declined(at, at + s, a, line_text(line)),
        *(moments, spans, addresses, lines),
    )
    | st.builds(records.reusable, moments, addresses)
    | st.builds(
        lambda at, a, line: records.excess(
            records.Excess(at, a, 24000, 1, 2, 3, 0, line_text(line), "s", "aurora")
        ),
        *(moments, addresses, lines),
    )
    | st.just(records.frame(40, b"a step of something else"))
)


def _begun() -> Allocation:
    allocation = Site(_SERVED).allocation
    allocation.begin_loading()
    return allocation


def _state(allocation: Allocation) -> dict[str, Any]:
    """All that answers depend on, but the order of what came at the same second."""
    # Records in no order may extend what was declined, which is no line's any more.
    assert [p for p in allocation.audit() if not p.endswith("by no line")] == []
    table, space = allocation._table, allocation._space
    slots = {
        address: (
            *(table.state[slot], table.block[slot], table.kind[slot]),
            *(table.until[slot], table.started[slot], table.extended[slot]),
            *(table.seen[slot], table.flags[slot] & GIVEN_UP),
            *(table.hardware[slot], table.client_id[slot], table.agent[slot]),
            table.key_of(slot),
        )
        for address, slot in table.slot_of.items()
    }
    waiting = [
        slot for bucket in allocation._bindings.wheel._buckets for slot in bucket
    ]
    assert len(waiting) == len(set(waiting))
    for slot in table.slot_of.values():
        in_wheel = bool(table.flags[slot] & IN_WHEEL)
        assert in_wheel == (slot in waiting)
        assert in_wheel or table.state[slot] != LEASED
    for pool in space.pools:
        ends = [table.until[entry >> 16] for entry in pool.freed]
        assert ends == sorted(ends)
    return {
        "slots": slots,
        "lines": {
            key: {table.address[slot] for slot in table.slots_of(key)}
            for key in table.line_of
        },
        "pools": {
            pool.name: (
                *(pool.counts, pool.used),
                *(
                    sorted(
                        (table.until[entry >> 16], table.address[entry >> 16])
                        for entry in queue
                        if allocation._free._standing(pool, entry, state) >= 0
                    )
                    for queue, state in (
                        (pool.cooling, COOLING),
                        (pool.freed, FREE),
                        (pool.quarantine, DECLINED),
                    )
                ),
            )
            for pool in space.pools
        },
        "live": list(space.live),
        "sold": list(allocation._book),
    }


@given(st.lists(entry, max_size=60), st.integers(1, 60))
def test_portions_of_a_journal_give_the_state_of_its_records(
    journal: list[bytes], portion: int
) -> None:
    """Whatever the records say, in whatever order, and wherever the journal is cut."""
    one_by_one, at_once = _begun(), _begun()
    for place in range(0, len(journal), portion):
        octets = b"".join(journal[place : place + portion])
        for record in records.entries(octets):
            one_by_one.restore(record, NOW)
        at_once.restore_journal(octets, NOW)
    one_by_one.loaded()
    at_once.loaded()
    assert _state(one_by_one) == _state(at_once)


_row = st.tuples(
    *(addresses, _octet, lines.map(line_text), st.binary(max_size=2)),
    *(st.binary(max_size=2), st.binary(max_size=2), moments, spans),
    st.none() | spans,
).map(
    lambda r: (
        *(*r[:7], r[6] + r[7]),
        *((None, None) if r[8] is None else (r[6] + r[8], "released")),
    )
)


@given(st.lists(_row, min_size=1, max_size=12, unique_by=lambda row: row[0]))
def test_rows_of_the_database_give_the_state_of_their_records(
    rows: list[tuple[Any, ...]],
) -> None:
    """Live ones, expired and ended ones, and those of a clock that was set back."""
    one_by_one, at_once = _begun(), _begun()
    for address, kind, line, hardware, client, agent, at, expires, ended, why in rows:
        until = expires if ended is None else ended
        bound = Bound(
            *(at, until, address, 0, kind, "p", "i", "i", "", line, "service"),
            *(hardware, client, agent),
        )
        one_by_one.restore(bound, NOW)
        if ended is not None:
            one_by_one.restore(Ended(ended, address, Reason(why)), NOW)
    columns, ends = columns_of(rows)
    at_once.restore_bound(columns, NOW)
    for end in ends:
        at_once.restore(end, NOW)
    one_by_one.loaded()
    at_once.loaded()
    assert _state(one_by_one) == _state(at_once)


@given(st.lists(lines))
def test_lines_are_read_back_as_they_were(known: list[Any]) -> None:
    """One at a time and many at once, binary identifiers included."""
    texts = [line_text(line) for line in known]
    assert lines_of(texts) == known
    assert [line_of(text) for text in texts] == known


def test_what_line_text_did_not_write_stands_for_itself() -> None:
    """An operator may ask for any line."""
    strange = "192.0.2.1/circuit:a%2Fb%zz%"
    assert line_of(strange) == b"\x09192.0.2.1" + part_of(1, b"a/b%zz%")
    assert lines_of([strange]) == [line_of(strange)]


@given(st.lists(entry, max_size=20), st.integers(1, 40))
def test_a_journal_that_is_cut_off_is_refused(journal: list[bytes], cut: int) -> None:
    """Half an entry is nothing: the block that holds it was not written by us."""
    octets = b"".join(journal)
    assert records.bodies(octets, 40) == [
        body for kind, body in records.frames(octets) if kind == 40
    ]
    whole = {0}
    for record in journal:
        whole.add(max(whole) + len(record))
    if (short := len(octets) - cut) > 0 and short not in whole:
        with pytest.raises(ValueError, match="cut off"):
            _begun().restore_journal(octets[:short], NOW)
        with pytest.raises(ValueError, match="cut off"):
            records.bodies(octets[:short], 40)


@pytest.mark.parametrize("left", [0, 1, 700, 1020])
def test_the_last_address_of_a_pool_is_given_after_a_start(left: int) -> None:
    """Wherever it is among blocks that are full, and at the first time of asking."""
    served = network(
        prefix="100.64.0.0/22",
        over_allocation=(OverAllocation(block_prefix_length=30),),
    )
    site = Site(served)
    allocation = site.allocation
    usable = [
        a for block in _blocks(allocation) for a in allocation._space.usable(block)
    ]
    free = usable[left]
    allocation.begin_loading()
    taken = [
        _bound(NOW - 60, 9000, address, f"taken-{address}", 1, 0)
        for address in usable
        if address != free
    ]
    allocation.restore_journal(b"".join(taken), NOW)
    allocation.loaded()

    assert free == site.lease()


@pytest.mark.parametrize("back", [600, 3600, 400 * 86_400])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_was_over_before_a_line_s_newest_lease_does_not_count_by_a_clock_set_back(
    back: int, at_once: bool
) -> None:
    """The newest device keeps its address, and nobody else gets the one of before."""
    old, new = _FIRST + 5, _FIRST + 6
    journal = [
        records.bound(
            *(at, at + 3600, address, 0, OWN, records.place("p", "i", "i", "")),
            *("line-0", "service", b"\x01" + mac.to_bytes(6), b"", b""),
        )
        for at, address, mac in ((NOW - 3600, old, 1), (NOW, new, 2))
    ]
    site = Site(now=NOW + 10 - back)
    site.allocation.begin_loading()
    for part in [b"".join(journal)] if at_once else journal:
        site.allocation.restore_journal(part, int(site.now))
    site.allocation.loaded()
    assert isinstance(site.renew("line-0", 2, address=new), Ack)
    others = {site.lease(f"line-{n}", n) for n in range(2, 70)}
    assert old not in others
    site.now += 2 * 3600
    assert isinstance(site.renew("line-0", 2, address=new), Ack)


def _blocks(allocation: Allocation) -> list[int]:
    """The blocks of the ISP's pool."""
    pools = allocation._space.pool
    first = pools[allocation._space.block_at(_FIRST + 4)]
    return [block for block, pool in enumerate(pools) if pool == first]
