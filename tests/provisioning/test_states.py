"""The tables of orders and tasks are complete, and every path in them ends."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from provisioning.addresses import ACCEPT, accepted, from_normal, normalise, rank, score
from provisioning.decomposition import _STAGES
from provisioning.order_states import ENDED, TRANSITIONS, Action, State, order_state
from provisioning.outcomes import Done, Later, Refused, Trouble
from provisioning.qualification import neutral_order
from provisioning.task_graph import (
    ATTEMPTS,
    POLICIES,
    Kind,
    Task,
    TaskState,
    asked,
    compensate,
    settle,
)
from services.adapters import LOCAL


def test_every_state_of_an_item_leads_to_an_end() -> None:
    """And what has ended leads nowhere."""
    items = set(TRANSITIONS)
    for state in items:
        seen, left = set[State](), {state}
        while left:
            seen |= left
            left = {s for one in left for s in TRANSITIONS[one].values()} - seen
        assert seen & ENDED
        assert (state in ENDED) == (TRANSITIONS[state] == {})


def test_an_order_has_a_state_whatever_its_items_have() -> None:
    """Open while one is, and partial when some are done and some are not."""
    for states in itertools.combinations_with_replacement(TRANSITIONS, 3):
        state = order_state(states)
        assert (state in ENDED) == all(one in ENDED for one in states)
    some = (State.COMPLETED, State.FAILED)
    assert State.PARTIAL == order_state(some)


def test_every_kind_has_a_policy_and_is_done_here_or_asked_of_others() -> None:
    """None of both, none of neither; and every action is decomposed."""
    assert set(Kind) == set(POLICIES)
    remote = {kind for kind, policy in POLICIES.items() if policy.remote}
    assert set(Kind) == remote | set(LOCAL)
    assert not remote & set(LOCAL)
    assert all(POLICIES[kind].answer_seconds for kind in remote)
    assert set(Action) == set(_STAGES)


def test_what_cannot_be_undone_is_past_the_point_of_no_return() -> None:
    """A kind without an undo says so in its policy."""
    assert {kind for kind, (_, undo) in LOCAL.items() if undo is None} == {
        kind for kind, policy in POLICIES.items() if policy.no_return
    }


outcomes = st.sampled_from(
    [Done(), Trouble("no"), Refused("no", "no"), Later(0, "wait")]
)


@given(st.sampled_from(sorted(Kind)), st.lists(outcomes, max_size=40), st.floats(0, 1))
def test_a_task_that_is_tried_again_and_again_comes_to_rest(
    kind: Kind, told: list[Done | Trouble | Refused | Later], jitter: float
) -> None:
    """Done, refused, dead or waiting within its time; never tried without end."""
    task = Task(number=0, item=0, kind=kind)
    now = 0
    for outcome in told:
        if task.state is not TaskState.PENDING:
            break
        if POLICIES[kind].remote:
            task = asked(task, now)
        if isinstance(outcome, Later) and not POLICIES[kind].wait_seconds:
            outcome = Trouble("later")
        task = settle(task, outcome, now, jitter)
        assert task.attempts <= max(ATTEMPTS, len(told))
        now = max(now + 1, task.due_at)
    assert task.state in set(TaskState) - {TaskState.RUNNING, TaskState.UNDOING}
    (turned,) = compensate([task], now)
    assert turned.state is not TaskState.PENDING


words = st.text("abcdefghij klmnop", min_size=3, max_size=20).filter(str.strip)


@given(words, st.integers(1, 999), st.integers(1, 999))
def test_an_address_is_never_taken_for_its_neighbour(
    street: str, number: int, other: int
) -> None:
    """Another house number never fits, however alike the rest is."""
    one = normalise(f"{number} {street} street, 12345 town")
    two = normalise(f"{other} {street} street, 12345 town")

    assert one == from_normal(one.normal)
    assert (100 if number == other else 0) == score(one, two)


def test_of_two_that_fit_alike_none_is_taken() -> None:
    """The best must lead the next, or a person chooses."""
    asked_ = normalise("5 Mill Lane")
    known = [(name, text, normalise(text).normal) for name, text in (
        ("a", "5 Mill Lane, Upton 11111"), ("b", "5 Mill Lane, Nether 22222"),
    )]  # fmt: skip
    candidates = rank(asked_, known)

    assert 2 == len(candidates)
    assert all(one.score >= ACCEPT for one in candidates)
    assert accepted(candidates) is None
    assert accepted(candidates[:1]) is not None


@given(st.lists(st.text(min_size=1), unique=True, max_size=6), st.text())
def test_the_neutral_order_depends_on_the_seed_alone(
    names: list[str], seed: str
) -> None:
    """Not on the order in which ISPs came into the network."""
    assert neutral_order(names, seed) == neutral_order(names[::-1], seed)
    assert sorted(names) == sorted(neutral_order(names, seed))
