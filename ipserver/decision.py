"""What becomes of an over-allocation request: a pure function of a snapshot.

The snapshot has everything that counts, policy included, and is stored with the
decision: computing it again gives the same, which an audit does. The order of the ways
is the order in which they hurt: what the pool has lent, its ISP's own elsewhere, the
reserve, a lender that agreed beforehand, somebody who must be asked, what is coming
back, no.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from enum import StrEnum
from typing import Final, Literal

import msgspec
from msgspec import Struct

from config.over_allocation import OverAllocation
from config.parties import Consent
from ipserver.over_allocation_request import Option

NETWORK: Final = "network"
"""The Network Provider as a tenant."""


class Outcome(StrEnum):
    """What is decided."""

    GRANT = "grant"
    ASK = "ask"
    QUEUE = "queue"
    DENY = "deny"


class Reason(StrEnum):
    """Why, as a stable code; part of the interface."""

    FROM_RESERVE = "granted_reserve"
    FROM_OWN = "granted_own"
    FROM_LENDER = "granted_borrowed"
    FROM_EMERGENCY = "granted_emergency"
    NEEDS_APPROVAL = "needs_approval"
    RECALLING = "recalling"
    COMING_BACK = "coming_back"
    RATIONED = "rationed"
    CAP = "cap"
    EXHAUSTED = "exhausted"
    POLICY = "policy"
    REFUSED = "refused"
    TIMEOUT = "timeout"


class Source(Struct, frozen=True, array_like=True):
    """A pool or reserve that a block could come from, its figures in addresses.

    ``empty_blocks`` is how many of its blocks could go now. ``lendable`` is what it
    can do without: for a reserve what it holds, for a pool its slack within its limit.
    """

    name: str
    kind: Literal["reserve", "own", "isp"]
    tenant: str
    empty_blocks: int
    lendable: int
    total: int = 0
    """Of a reserve: all that it owns, granted or not."""
    consent: Consent = "auto"


class Recallable(Struct, frozen=True, array_like=True):
    """A loan that could be called back for the pool that asks."""

    loan: int
    size: int
    own: bool
    """Whether the pool that asks is its lender."""
    over_guarantee: int
    """By how much its borrower is above its guarantee, the loan included."""
    borrower: str = ""


class Snapshot(Struct, frozen=True, array_like=True):
    """All that a decision depends on."""

    now: int
    pool: str
    tenant: str
    need: int
    block: int
    urgent: bool
    guaranteed: int
    burst_cap: int
    committed: int
    """What it owns and has borrowed, whether or not it has lent some of it."""
    capacity: int
    demand: int
    borrow_policy: Consent
    sources: tuple[Source, ...]
    recallable: tuple[Recallable, ...]
    coming_back: int
    """Addresses under way to a source of this pool, or home to it."""
    rationed_until: int
    """Until when a reserve in want gives this pool nothing more."""
    refusals: int
    """How often it was denied in a row: the wait doubles each time."""
    policy: OverAllocation

    def digest(self) -> str:
        """Name these very inputs."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).hexdigest()[:32]


class Decision(Struct, frozen=True, array_like=True):
    """What a snapshot leads to."""

    outcome: Outcome
    reason: Reason
    chosen: Option | None = None
    options: tuple[Option, ...] = ()
    recalls: tuple[int, ...] = ()
    retry_after: int = 0


def policy_digest(policy: OverAllocation) -> str:
    """Name the version of a policy."""
    return hashlib.sha256(msgspec.msgpack.encode(policy)).hexdigest()[:16]


def back_off(refusals: int, policy: OverAllocation) -> int:
    """Seconds until a pool that was denied so often in a row may ask again."""
    longest = policy.back_off_seconds_max
    return int(min(longest, policy.back_off_seconds << min(refusals, 16)))


def decide(snapshot: Snapshot) -> Decision:
    """Go down the ways and take the first that leads somewhere."""
    below = snapshot.capacity < min(snapshot.guaranteed, snapshot.demand)
    recalls, recalled = _own_loans(snapshot)
    need = snapshot.need - recalled
    if need <= 0 and recalls and snapshot.urgent:
        need = snapshot.block  # a block bridges the notice, if the cap allows one
    room = max(snapshot.burst_cap, snapshot.guaranteed) - snapshot.committed
    blocks = min(-(-need // snapshot.block), room // snapshot.block)
    if blocks <= 0:
        if recalls or snapshot.coming_back:
            return _wait(snapshot, recalls)
        return _deny(snapshot, Reason.CAP)
    if below:
        return _entitled(snapshot, blocks, recalls)
    automatic = (
        _from_own(snapshot, blocks)
        or _from_reserve(snapshot, blocks)
        or _from_lender(snapshot, blocks)
    )
    if automatic is not None:
        reason, option = automatic
        return Decision(Outcome.GRANT, reason, chosen=option, recalls=recalls)
    options = _to_be_asked(snapshot, blocks)
    if options:
        return Decision(
            Outcome.ASK, Reason.NEEDS_APPROVAL, options=options, recalls=recalls
        )
    if recalls or snapshot.coming_back:
        return _wait(snapshot, recalls)
    return _deny(snapshot, _why_not(snapshot))


def _own_loans(snapshot: Snapshot) -> tuple[tuple[int, ...], int]:
    """Recall what the pool has lent itself, as far as it needs it."""
    return _recall([r for r in snapshot.recallable if r.own], snapshot.need)


def _recall(loans: list[Recallable], need: int) -> tuple[tuple[int, ...], int]:
    """Choose loans to call back: one's own whoever has them, others only from who is
    above its guarantee, without what was chosen before.
    """
    taken: Counter[str] = Counter()
    chosen, size, left = [], 0, list(loans)

    def over(loan: Recallable) -> int:
        return loan.over_guarantee - taken[loan.borrower]

    while size < need:
        left = [loan for loan in left if loan.own or over(loan) > 0]
        if not left:
            break
        # From whom is furthest above its guarantee; by number among equals.
        loan = min(left, key=lambda each: (-over(each), each.loan))
        left.remove(loan)
        chosen.append(loan.loan)
        size += loan.size
        if loan.borrower:  # decisions of before do not name it
            taken[loan.borrower] += loan.size
    return tuple(chosen), size


def _entitled(snapshot: Snapshot, blocks: int, recalls: tuple[int, ...]) -> Decision:
    """A pool below its guarantee: nobody is asked and it cannot be denied. What neither
    a reserve nor a recall brings is lent by who agreed beforehand.
    """
    short = min(snapshot.guaranteed, snapshot.demand) - snapshot.capacity
    blocks = max(1, min(blocks, -(-short // snapshot.block)))
    reserves = [s for s in snapshot.sources if s.kind == "reserve" and s.empty_blocks]
    if reserves:
        best = max(reserves, key=lambda s: (s.empty_blocks, s.name))
        option = Option(best.name, min(blocks, best.empty_blocks), ())
        emergency = best.lendable - option.blocks * snapshot.block < _floor(
            best, snapshot.policy
        )
        reason = Reason.FROM_EMERGENCY if emergency else Reason.FROM_RESERVE
        return Decision(Outcome.GRANT, reason, chosen=option, recalls=recalls)
    others = [r for r in snapshot.recallable if not r.own]
    still = short - snapshot.coming_back
    more, size = _recall(others, still) if still > 0 else ((), still)
    lacking = -(-(still - size) // snapshot.block)
    some = min(blocks, lacking)
    lent = _from_own(snapshot, some) or _from_lender(snapshot, some)
    if lacking <= 0 or lent is None:
        return _wait(snapshot, (*recalls, *more))
    return Decision(Outcome.GRANT, lent[0], chosen=lent[1], recalls=(*recalls, *more))


def _floor(reserve: Source, policy: OverAllocation) -> int:
    """The emergency slice of a reserve, in addresses."""
    return -(-reserve.total * policy.emergency_percent // 100)


def _in_want(reserve: Source, policy: OverAllocation) -> bool:
    return reserve.lendable * 100 < reserve.total * policy.rationing_percent


def _ration(snapshot: Snapshot, reserve: Source, blocks: int) -> int:
    """How many blocks a reserve can give to a pool above its guarantee."""
    above = reserve.lendable - _floor(reserve, snapshot.policy)
    blocks = min(blocks, above // snapshot.block, reserve.empty_blocks)
    if _in_want(reserve, snapshot.policy):
        blocks = min(blocks, 1) if snapshot.now >= snapshot.rationed_until else 0
    return max(0, blocks)


def _from_reserve(snapshot: Snapshot, blocks: int) -> tuple[Reason, Option] | None:
    if blocks * snapshot.block > snapshot.policy.reserve_auto_max:
        return None
    best = _best(
        [(s, _ration(snapshot, s, blocks)) for s in _kind(snapshot, "reserve")]
    )
    return None if best is None else (Reason.FROM_RESERVE, best)


def _from_own(snapshot: Snapshot, blocks: int) -> tuple[Reason, Option] | None:
    own = _best([(s, _spare(snapshot, s, blocks)) for s in _kind(snapshot, "own")])
    return None if own is None else (Reason.FROM_OWN, own)


def _from_lender(snapshot: Snapshot, blocks: int) -> tuple[Reason, Option] | None:
    if snapshot.borrow_policy != "auto":
        return None
    lenders = [s for s in _kind(snapshot, "isp") if s.consent == "auto"]
    lent = _best([(s, _spare(snapshot, s, blocks)) for s in lenders])
    return None if lent is None else (Reason.FROM_LENDER, lent)


def _kind(snapshot: Snapshot, kind: str) -> list[Source]:
    return [source for source in snapshot.sources if source.kind == kind]


def _spare(snapshot: Snapshot, source: Source, blocks: int) -> int:
    return max(0, min(blocks, source.empty_blocks, source.lendable // snapshot.block))


def _best(found: list[tuple[Source, int]]) -> Option | None:
    """Take who gives most; of those, who can do without most, then by name."""
    usable = [(source, blocks) for source, blocks in found if blocks > 0]
    if not usable:
        return None
    source, blocks = min(
        usable, key=lambda pair: (-pair[1], -pair[0].lendable, pair[0].name)
    )
    return Option(source.name, blocks, ())


def _to_be_asked(snapshot: Snapshot, blocks: int) -> tuple[Option, ...]:
    """Everybody who could help after a yes, all asked at once."""
    options = []
    for source in snapshot.sources:
        if source.kind == "reserve":
            above = source.lendable - _floor(source, snapshot.policy)
            gives = min(blocks, above // snapshot.block, source.empty_blocks)
            parties: tuple[str, ...] = (NETWORK,)
        elif source.kind == "isp" and source.consent != "never":
            gives = _spare(snapshot, source, blocks)
            parties = (source.tenant,) if source.consent == "ask" else ()
            if snapshot.borrow_policy == "never":
                continue
            if snapshot.borrow_policy == "ask":
                parties += (snapshot.tenant,)
        else:
            continue
        if gives > 0:
            options.append(Option(source.name, gives, parties))
    return tuple(options)


def _why_not(snapshot: Snapshot) -> Reason:
    """Tell a policy that stands in the way from there being nothing."""
    willing = [s for s in snapshot.sources if s.consent != "never"]
    if len(willing) < len(snapshot.sources) or (
        snapshot.borrow_policy == "never" and _kind(snapshot, "isp")
    ):
        return Reason.POLICY
    return Reason.EXHAUSTED


def _wait(snapshot: Snapshot, recalls: tuple[int, ...]) -> Decision:
    return Decision(
        Outcome.QUEUE,
        Reason.RECALLING if recalls else Reason.COMING_BACK,
        recalls=recalls,
        retry_after=snapshot.policy.requeue_seconds,
    )


def _deny(snapshot: Snapshot, reason: Reason) -> Decision:
    wait = back_off(snapshot.refusals, snapshot.policy)
    return Decision(Outcome.DENY, reason, retry_after=wait)
