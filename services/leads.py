"""Leads: somebody who wants what cannot be had now; and the survey of a place that
nobody knows.

A lead with an address that is in no inventory is a survey for the Network Provider: its
staff find out whether service can be had there, and make a site of it or say that it
cannot. Whoever left the lead is told, and calls the subscriber back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from provisioning.addresses import LENGTH
from provisioning.refusal import Refusal
from services.actor import NETWORK, Actor
from services.inventory_edit import Edit, No, edit
from services.provisioning import Transaction
from services.qualification_life import find as find_answer
from storage import leads as stored
from storage.outbox import Event, publish
from storage.sites import sites_named

_TEXT: Final = 500

STATES: Final = ("open", "survey", "serviceable", "unserviceable", "closed")
"""``survey`` waits for the network, ``open`` for whoever left it; the two after a
survey too; ``closed`` is called back."""


def leave_lead(
    transaction: Transaction,
    actor: Actor,
    id_: str,
    *,
    contact: str,
    wanted: str,
    qualification: str | None = None,
    address: str | None = None,
) -> Refusal | None:
    """Keep somebody who wants what cannot be had now; with an address, have the place
    surveyed."""
    for pointer, text in (("/contact", contact), ("/wanted", wanted)):
        if not text.strip() or len(text) > _TEXT:
            reason = f"must have 1 to {_TEXT} characters"
            return Refusal("lead_incomplete", pointer, reason)
    if address is not None and not 0 < len(address.strip()) <= LENGTH:
        reason = f"must have 1 to {LENGTH} characters"
        return Refusal("lead_incomplete", "/address", reason)
    if (
        qualification is not None
        and find_answer(transaction, qualification, actor) is None
    ):
        reason = "there is no such qualification"
        return Refusal("unknown_qualification", "/qualification", reason)
    row = {
        "id": id_,
        "at": transaction.now,
        "actor": actor.name,
        "qualification_id": qualification,
        "contact": contact,
        "wanted": wanted,
        "address": address,
        "site": None,
        "state": "open" if address is None else "survey",
        "tenant": actor.isp or actor.tenant,
    }
    stored.add_lead(transaction.connection, row)
    return None


def leads(
    transaction: Transaction, actor: Actor, *, state: str = "open", limit: int = 100
) -> list[dict[str, Any]]:
    """List an actor's leads, the oldest first."""
    rows = stored.leads(transaction.connection, actor.sees, state, limit)
    return [dict(row._mapping) for row in rows]


def close_lead(transaction: Transaction, actor: Actor, id_: str) -> bool:
    """Say that a lead was called back; False when there is none of the actor's."""
    return stored.move_lead(
        transaction.connection, id_, actor.sees, {"state": "closed"}
    )


def survey(
    transaction: Transaction,
    actor: Actor,
    id_: str,
    site: Mapping[str, Any] | None,
    *,
    seal: Callable[[str, str, str], str],
) -> dict[str, Any] | Refusal | list[Refusal] | None:
    """End a survey: ``site`` is the place in the inventory, new or known by its name;
    None that service cannot be had there. None when there is no such survey.

    Only the Network Provider's staff survey.
    """
    row = stored.find_lead(transaction.connection, id_)
    if row is None or row["state"] != "survey" or actor.tenant != NETWORK:
        return None
    name = None
    if site is not None:
        name = str(site.get("name", ""))
        known = sites_named(transaction.connection, [name])
        if not known:
            body = {"address": row["address"], **site}
            new = Edit("service_site", None, body, None, f"survey of lead {id_}")
            made = edit(transaction, actor, new, seal=seal)
            if isinstance(made, No):
                return Refusal("invalid_site", "/site", made.name.lower())
            if isinstance(made, list):
                return [one._replace(pointer=f"/site{one.pointer}") for one in made]
        elif set(site) != {"name"}:
            reason = f"there is a site called {name!r}: name it alone, or another"
            return Refusal("name_taken", "/site/name", reason)
    state = "unserviceable" if name is None else "serviceable"
    changed = {"state": state, "site": name}
    stored.move_lead(transaction.connection, id_, None, changed)
    told = {**changed, "address": row["address"], "lead": id_}
    event = Event(row["tenant"], "LeadStateChangeEvent", id_, None, told)
    publish(transaction.connection, [event], transaction.now)
    return {**row, **changed}
