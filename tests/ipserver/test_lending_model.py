"""The whole of lending, played at random against the rules I1 to I11."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from lending_model import TENANTS, Game, every_prefix_is_valid

from ipserver.over_allocation_command import Action

OPERATIONS = 1_000_000
LINES = 70

names = st.sampled_from("abc")
numbers = st.integers(0, LINES - 1)


class Lending(RuleBasedStateMachine):
    """Lines, parties, time and deaths, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.game = Game()

    @rule(name=names, start=numbers, count=st.integers(1, 40), commit=st.booleans())
    def bind(self, name: str, start: int, count: int, commit: bool) -> None:
        """Several lines of an ISP come up."""
        for number in range(start, min(LINES, start + count)):
            self.game.bind(name, number, commit=commit)

    @rule(name=names, number=numbers)
    def renew(self, name: str, number: int) -> None:
        """A line renews."""
        self.game.renew(name, number)

    @rule(name=names, start=numbers, count=st.integers(1, 40))
    def release(self, name: str, start: int, count: int) -> None:
        """Several lines of an ISP go."""
        for number in range(start, min(LINES, start + count)):
            self.game.release(name, number)

    @rule()
    def commit(self) -> None:
        """The disk catches up."""
        self.game.commit()

    @rule(seconds=st.sampled_from((1, 5, 40)))
    def tick(self, seconds: int) -> None:
        """Time passes."""
        self.game.tick(seconds)

    @rule(seconds=st.sampled_from((600, 1900, 3700, 20_000)))
    def jump(self, seconds: int) -> None:
        """Nothing runs for a while."""
        self.game.jump(seconds)

    @rule(
        action=st.sampled_from(Action),
        tenant=st.sampled_from(TENANTS),
        which=st.integers(0, 20),
        name=names,
    )
    def command(self, action: Action, tenant: str, which: int, name: str) -> None:
        """Somebody asks for something."""
        self.game.command(action, tenant, which, name)

    @rule(
        lend=st.sampled_from(("auto", "ask", "never")),
        auto_max=st.sampled_from((0, 16, 256)),
    )
    def change(self, lend: str, auto_max: int) -> None:
        """Other policies."""
        self.game.change(lend, auto_max)

    @rule(seconds=st.sampled_from((0, 0, 3600, -3600, 400 * 86_400, -400 * 86_400)))
    def kill(self, seconds: int) -> None:
        """It dies, and starts at another time."""
        self.game.kill(seconds)

    @invariant()
    def holds(self) -> None:
        """The rules."""
        self.game.check()


def test_whatever_happens_the_rules_of_lending_hold() -> None:
    """I1 to I4 and I7 to I10 after each of a few hundred moves found by hypothesis."""
    run_state_machine_as_test(
        Lending,
        settings=settings(
            max_examples=12,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


RISE, FALL = (40, 6), (8, 40)
"""How often lines come up and go, in the two moods that a network has in turn."""

MOOD = 120
"""Moves that a mood lasts."""


def play(game: Game, draw: random.Random, moves: int) -> None:
    """Make random moves, weighted as a network's life is, the rules held to each."""

    def some(move: Callable[[str, int], None]) -> None:
        name, first = draw.choice("abc"), draw.randrange(LINES)
        for number in range(first, min(LINES, first + draw.randint(1, 12))):
            move(name, number)

    def slowly(name: str, number: int) -> None:
        game.bind(name, number, commit=False)

    def command() -> None:
        action, tenant = draw.choice(tuple(Action)), draw.choice(TENANTS)
        game.command(action, tenant, draw.randrange(20), draw.choice("abc"))

    table: tuple[tuple[int, Callable[[], None]], ...] = (
        (4, lambda: some(slowly)),
        (10, lambda: some(game.renew)),
        (4, game.commit),
        (14, lambda: game.tick(draw.choice((1, 1, 5, 40)))),
        (4, lambda: game.jump(draw.choice((60, 600, 1900)))),
        (3, command),
        (
            1,
            lambda: game.change(
                draw.choice(("auto", "ask", "never")), draw.choice((0, 16, 256))
            ),
        ),
    )
    lives = [move for _, move in table]
    for number in range(moves):
        binds, releases = (RISE, FALL)[number // MOOD % 2]
        chances = [weight for weight, _ in table]
        come, go = (lambda: some(game.bind)), (lambda: some(game.release))
        draw.choices([*lives, come, go], [*chances, binds, releases])[0]()
        game.check()


def test_a_network_s_life_keeps_the_rules_and_every_record_is_a_state() -> None:
    """A seeded run visits every state of a loan and most of a request; I6 for each
    prefix of its journal, and the whole of it is the state there is.
    """
    game = Game()
    draw = random.Random(7)
    play(game, draw, 1500)
    game.kill(3600)
    game.check()
    assert every_prefix_is_valid(game) > 100
    missing = {"fulfilled", "denied", "queued", "pending_approval"} - game.counts.keys()
    assert not missing, game.counts


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_a_million_operations_keep_the_rules(seed: int) -> None:
    """The same, a quarter of a million a seed, in lives of a thousand moves with a
    death in the middle of each; I6 for every prefix of one life's journal in fifty.
    """
    done = life = 0
    while done < OPERATIONS // 4:
        number = seed * 1000 + life
        game, draw = Game(seed=number), random.Random(number)
        play(game, draw, 500)
        game.kill(draw.choice((0, 3600, -3600, 400 * 86_400)))
        play(game, draw, 500)
        if life % 50 == 0:
            assert every_prefix_is_valid(game)
        done, life = done + game.operations, life + 1
