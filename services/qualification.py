"""Qualification: one transaction answers many questions and holds what it promises.

Questions come by themselves and are answered together (a batch a transaction), because
what costs is the commit. The answers do not differ: each sees what those before it
hold. A green answer for an ISP replaces its own earlier one for the same place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from config.plant import Line
from provisioning.addresses import Candidate
from provisioning.decisions import Decision, decision
from provisioning.line_token import line_of
from provisioning.qualification import (
    GREEN_SECONDS,
    Answer,
    Case,
    Color,
    Place,
    Reason,
    Result,
    Standing,
    needs,
    neutral_order,
    overall,
    standing,
)
from provisioning.refusal import Refusal
from provisioning.subscriber_equipment import Equipment
from services.address_search import Match, Matches, search
from services.provisioning import ObjectChange, Transaction, log_changes
from services.qualification_query import Override, Query, addresses_in, refusal
from storage import holds, line_leases, qualifications
from storage.at_once import read_all
from storage.holds import Hold
from storage.qualifications import Open
from storage.sites import Site, sites_named

__all__ = ["BATCH", "Override", "Qualification", "Query", "qualify"]

BATCH: Final = 128
"""Questions in one transaction: a hundred share a commit, and none waits long."""


class Qualification(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is answered, and kept. ``state``: done, or informationRequired when the
    address did not decide and one of the candidates is to be chosen.

    ``expires_at`` is 0 where nothing is promised. Times are epoch seconds.
    """

    id: str
    at: int
    tenant: str
    state: str
    result: Result
    color: Color
    external_id: str = ""
    place: str | None = None
    site: str | None = None
    line: str | None = None
    area: str | None = None
    expires_at: int = 0
    answers: tuple[Answer, ...] = ()
    reasons: tuple[Reason, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    isps: tuple[str, ...] = ()
    seed: str = ""
    equipment: Equipment | None = None


class _Found(NamedTuple):
    place: Place | None
    candidates: tuple[Candidate, ...] = ()
    reason: Reason | None = None


def qualify(
    transaction: Transaction,
    queries: Sequence[Query],
    *,
    new_id: Callable[[], str],
    token_key: bytes = b"",
    matches: Matches | None = None,
) -> list[Qualification | Refusal]:
    """Answer questions in their order; each sees what those before it hold.

    ``new_id`` gives an id that nobody guesses; ``token_key`` is what line tokens are
    signed with; ``matches`` is what was found of ``addresses_in`` the questions, which
    are searched for here when they were not before.
    """
    if matches is None:
        matches = search(transaction.connection, addresses_in(queries))
    batch = _Batch(transaction, new_id)
    refused = [refusal(transaction, query) for query in queries]
    good = [q for q, no in zip(queries, refused, strict=True) if no is None]
    found = _find(transaction, good, token_key, matches)
    batch.prepare([(q, f.place) for q, f in zip(good, found, strict=True) if f.place])
    answered = iter([batch.answer(q, f) for q, f in zip(good, found, strict=True)])
    batch.write()
    return [no if no is not None else next(answered) for no in refused]


def _find(
    transaction: Transaction, queries: Sequence[Query], key: bytes, matches: Matches
) -> list[_Found]:
    """Find every place, with one look-up for all names."""
    connection, inventory = transaction.connection, transaction.inventory
    named = [q.override.site if q.override else q.site for q in queries]
    lines = {id(query): _line_name(transaction, query, key) for query in queries}
    of_lines = (inventory.line.get(name or "") for name in lines.values())
    wanted = [*filter(None, named), *(x.site for x in of_lines if x and x.site)]
    sites = sites_named(connection, wanted)
    found = []
    for query, name in zip(queries, named, strict=True):
        line = inventory.line.get(lines[id(query)] or "")
        if query.line or query.token or query.source:
            found.append(_by_line(transaction, line, sites))
        elif name:
            found.append(_by_site(transaction, sites.get(name)))
        else:
            found.append(_by_address(transaction, matches[query.address or ""]))
    return found


def _line_name(transaction: Transaction, query: Query, key: bytes) -> str | None:
    now = transaction.now
    if query.source:
        return line_leases.line_of(transaction.connection, query.source, now)
    return line_of(query.token, now, key) if query.token else query.line


def _by_line(
    transaction: Transaction, line: Line | None, sites: dict[str, Site]
) -> _Found:
    if line is None:
        return _Found(None, reason=Reason("unknown_line", "there is no such line"))
    node = transaction.inventory.node.get(line.node or "")
    site = sites.get(line.site or "")
    return _Found(Place(line.area, site.name if site else line.site, line, node))


def _by_site(transaction: Transaction, site: Site | None) -> _Found:
    if site is None:
        return _Found(None, reason=Reason("unknown_site", "there is no such site"))
    inventory = transaction.inventory
    line = inventory.line_at(site.name)
    node = inventory.node.get((line.node if line else site.node) or "")
    return _Found(Place(site.area, site.name, line, node))


def _by_address(transaction: Transaction, match: Match) -> _Found:
    if match.site is not None:
        return _by_site(transaction, match.site)._replace(candidates=match.candidates)
    code = "address_ambiguous" if match.candidates else "address_unknown"
    label = (
        "choose one of the candidates" if match.candidates else "not in the inventory"
    )
    return _Found(None, match.candidates, Reason(code, label))


class _Batch:
    """What one transaction answers, holds and writes."""

    def __init__(self, transaction: Transaction, new_id: Callable[[], str]) -> None:
        self._transaction = transaction
        self._new_id = new_id
        self._held: Counter[str] = Counter()
        self._open: dict[tuple[str, str], str] = {}
        self._count: Counter[str] = Counter()
        self._holds: dict[str, list[Hold]] = {}
        self._gone: list[Hold] = []
        self._superseded: list[Open] = []
        self._rows: dict[str, dict[str, object]] = {}

    def prepare(self, found: Iterable[tuple[Query, Place]]) -> None:
        """Read what is held and what is open for the places, all at once."""
        connection = self._transaction.connection
        resources: set[str] = set()
        wanted: set[tuple[str, str]] = set()
        for query, place in found:
            if query.hold and query.isp is not None:
                wanted.add((query.isp, place.key))
            if place.node is not None:
                resources.add(f"node:{place.node.name}")
            isps = [query.isp] if query.isp else self._transaction.inventory.isp
            resources |= {f"addresses:{isp}/{place.area}" for isp in isps}
        sums, known, counts = read_all(
            connection,
            (holds.SUMS, {"keys": sorted(resources)}),
            (qualifications.OPEN, {"keys": sorted({place for _, place in wanted})}),
            (qualifications.COUNTS, {"keys": sorted({isp for isp, _ in wanted})}),
        )
        self._held = Counter(dict(map(tuple, sums)))
        self._count = Counter(dict(map(tuple, counts)))
        # Those of others stay as they are, and so does what they hold.
        self._open = {
            (tenant, place): id_
            for id_, tenant, place in known
            if (tenant, place) in wanted
        }
        for one in holds.holds_of(connection, self._open.values()):
            self._holds.setdefault(one.owner, []).append(one)

    def answer(self, query: Query, found: _Found) -> Qualification | Refusal:
        """Answer one question and hold what a green answer needs; refuse an ISP that
        holds as much as it may, or it could keep every port from the others."""
        now, place = self._transaction.now, found.place
        tenant = query.isp or query.actor.tenant
        if place is None:
            unknown = Qualification(
                id=self._new_id(),
                at=now,
                tenant=tenant,
                external_id=query.external_id,
                state="informationRequired" if found.candidates else "done",
                result=Result.UNQUALIFIED,
                color=Color.RED,
                candidates=found.candidates,
                reasons=(found.reason,) if found.reason else (),
            )
            return self._keep(query, unknown)
        holding, where = query.hold and query.isp is not None, (tenant, place.key)
        if holding:
            most = self._transaction.inventory.isp[tenant].open_qualifications
            if where not in self._open and self._count[tenant] >= most:
                reason = f"{tenant!r} has {most} green answers open; order, or wait"
                return Refusal("too_many_open_qualifications", "", reason)
            self._supersede(*where)
        isps = self._isps(query, place)
        decided = [self._decision(query, place, isp) for isp in isps]
        largest = None
        if query.isp is not None:
            (answers, result, color, largest), so = decided[0]
        else:
            answers = tuple(one for made, _ in decided for one in made.answers)
            result, color = overall(answers)
        promised = holding and largest is not None
        whole = Qualification(
            id=self._new_id(),
            at=now,
            tenant=tenant,
            external_id=query.external_id,
            state="done",
            result=result,
            color=color,
            place=where[1],
            site=place.site,
            line=place.line.name if place.line else None,
            area=place.area,
            expires_at=now + GREEN_SECONDS if promised else 0,
            answers=answers,
            candidates=found.candidates,
            isps=tuple(isps),
            seed=query.seed if query.isp is None else "",
        )
        if promised and largest is not None:
            self._open[where] = whole.id
            self._count[tenant] += 1
            needed = needs(Case(place, largest, so))
            kept = [Hold(whole.id, *need, tenant) for need in needed]
            self._holds[whole.id] = kept
            for one in kept:
                self._held[one.resource] += one.quantity
        return self._keep(query, whole)

    def _isps(self, query: Query, place: Place) -> list[str]:
        if query.isp is not None:
            return [query.isp]
        inventory = self._transaction.inventory
        contracted = (i for i in inventory.isp if inventory.has_contract(i, place.area))
        return neutral_order(contracted, query.seed)

    def _decision(
        self, query: Query, place: Place, isp: str
    ) -> tuple[Decision, Standing]:
        inventory = self._transaction.inventory
        so = standing(inventory, place, isp, self._held.__getitem__)
        offerings, others = query.offerings, query.alternatives
        made = decision(inventory, isp, place, so, offerings, alternatives=others)
        return made, so

    def _supersede(self, tenant: str, place: str) -> None:
        old = self._open.pop((tenant, place), None)
        if old is None:
            return
        self._count[tenant] -= 1
        released = self._holds.pop(old, [])
        for one in released:
            self._held[one.resource] -= one.quantity
        if old in self._rows:
            self._rows[old]["state"] = "superseded"
        else:
            self._superseded.append(Open(old, tenant, place))
            self._gone += released

    def _keep(self, query: Query, made: Qualification) -> Qualification:
        whole = made
        if query.equipment is not None:
            whole = msgspec.structs.replace(made, equipment=query.equipment)
        self._rows[whole.id] = {
            "id": whole.id,
            "at": whole.at,
            "expires_at": whole.expires_at,
            "channel": query.actor.channel,
            "actor": query.actor.name,
            "place": whole.place,
            "state": "open" if whole.expires_at else "told",
            "color": whole.color.value,
            "body": msgspec.json.encode(whole).decode(),
            "tenant": whole.tenant,
        }
        if query.override is not None:
            after = {"site": query.override.site, "address": query.address}
            log_changes(
                self._transaction.connection,
                query.actor,
                [ObjectChange("qualification", whole.id, None, after)],
                whole.at,
                query.override.reason,
            )
        return whole

    def write(self) -> None:
        """Write all that was answered and held."""
        connection = self._transaction.connection
        qualifications.supersede(connection, self._superseded)
        qualifications.add(connection, list(self._rows.values()))
        good = {id_ for id_ in self._rows if self._rows[id_]["state"] == "open"}
        made = [one for id_ in sorted(good) for one in self._holds.get(id_, [])]
        holds.change(connection, made=made, gone=self._gone)
