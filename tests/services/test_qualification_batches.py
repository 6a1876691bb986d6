"""Questions answered together are answered as they would be one by one."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from provisioning_site import AURORA, BOREALIS, STAFF, Site
from sqlalchemy import select

from services.provisioning import ObjectChange, Transaction
from services.qualification import Qualification, Query, qualify
from storage.provisioning_tables import held, hold, open_qualifications, qualification

_OFFERINGS = {"aurora": ("home-500", "home-films"), "borealis": ("polar-100",)}


class _NotKeptError(Exception):
    pass


def _question(chance: random.Random) -> Query:
    isp = chance.choice(["aurora", "borealis"])
    number = chance.randrange(1, 9)
    where: dict[str, Any] = chance.choice(
        [
            {"line": f"line{number}"},
            {"site": f"site{number}"},
            {"address": f"{number} Quay Street, Porthaven 4711"},
            {"address": f"{number} Quay Sreet, Porthaven"},
        ]
    )
    return Query(
        actor=AURORA if isp == "aurora" else BOREALIS,
        isp=isp if chance.random() < 0.9 else None,
        offerings=_OFFERINGS[isp][: chance.randrange(3)],
        hold=chance.random() < 0.8,
        alternatives=chance.random() < 0.8,
        seed="seed",
        **where,
    )


def _told(transaction: Transaction, site: Site, queries: list[Query]) -> list[Any]:
    """Answer together, and leave out the ids."""
    answers = qualify(transaction, queries, new_id=site.new_id)
    return [
        msgspec.structs.replace(one, id="") if isinstance(one, Qualification) else one
        for one in answers
    ]


def _one_by_one(site: Site, queries: list[Query]) -> list[Any]:
    """Answer one after the other, and keep nothing."""
    told: list[Any] = []
    with suppress(_NotKeptError), site.transaction() as transaction:
        for query in queries:
            told += _told(transaction, site, [query])
        raise _NotKeptError
    return told


def _tables(site: Site) -> tuple[Any, ...]:
    with site.database.read.connect() as connection:
        sums = connection.execute(select(held.c.resource, held.c.quantity))
        counts = connection.execute(select(*open_qualifications.c))
        holds = connection.execute(select(hold)).all()
        query = select(qualification).where(qualification.c.state == "open")
        still = connection.execute(query).all()
        return (
            {name: count for name, count in sums if count},
            {name: count for name, count in counts if count},
            holds,
            still,
        )


def _narrow(site: Site, chance: random.Random) -> None:
    """Change what the answers depend on."""
    speed = chance.choice([50_000, 400_000, 1_000_000])
    state = chance.choice(["in_service", "faulty", "planned", "retired"])
    name = f"line{chance.randrange(1, 5)}"
    with site.transaction() as transaction:
        was = msgspec.to_builtins(transaction.inventory.line[name])
        now = was | {"down_kbps": speed, "up_kbps": speed, "state": state}
        transaction.change(STAFF, [ObjectChange("line", name, was, now)])


@pytest.mark.parametrize("seed", range(3))
def test_batches_change_nothing(site: Site, seed: int) -> None:
    """Answers, holds, sums and counts are those of questions that came by themselves;
    an ISP has one open answer for a place, and only open answers hold anything."""
    chance = random.Random(seed)
    for _ in range(8):
        queries = [_question(chance) for _ in range(chance.randrange(1, 20))]
        alone = _one_by_one(site, queries)
        with site.transaction() as transaction:
            together = _told(transaction, site, queries)
        sums, counts, holds, still = _tables(site)
        promised: Counter[str] = Counter()
        for one in holds:
            promised[one.resource] += one.quantity

        assert alone == together
        assert sums == promised
        assert counts == Counter(one.tenant for one in still)
        assert {one.owner for one in holds} <= {one.id for one in still}
        assert len(still) == len({(one.tenant, one.place) for one in still})
        _narrow(site, chance)
