"""From an item to its tasks, by the catalogue: offering, to services, to resources.

Stages come one after the other, what is in a stage goes side by side. Whoever can say
no is asked first, what the subscriber notices comes last, and what cannot be undone
after the network has shown that it works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from config.offers import Component
from provisioning.inventory import Inventory
from provisioning.order_rules import Wanted
from provisioning.order_states import Action
from provisioning.task_graph import Kind, Task

Step = tuple[Kind, Mapping[str, Any]]
Stage = list[Step]


def decompose(
    items: Mapping[int, Wanted],
    relies_on: Mapping[int, Sequence[int]],
    inventory: Inventory,
    now: int,
) -> list[Task]:
    """Make the tasks of an order's items; one waits for all that it relies on."""
    tasks: list[Task] = []
    last: dict[int, tuple[int, ...]] = {}
    left = dict(items)
    while left:
        # Circles were refused, so one is always free.
        number = next(n for n in left if not set(relies_on[n]) & left.keys())
        wanted = left.pop(number)
        after = tuple(sorted({t for other in relies_on[number] for t in last[other]}))
        for stage in _STAGES[wanted.action](wanted, inventory):
            numbers = []
            for kind, about in stage:
                numbers.append(len(tasks))
                tasks.append(
                    Task(
                        number=len(tasks),
                        item=number,
                        kind=kind,
                        after=after,
                        due_at=now,
                        about=about,
                    )
                )
            after = tuple(numbers) or after
        last[number] = after
    return tasks


def _components(offering: str | None, inventory: Inventory) -> tuple[Component, ...]:
    row = inventory.offering.get(offering or "")
    return row.components if row else ()


def _about(kind: Kind, components: Sequence[Component], **more: str) -> Stage:
    return [
        (kind, {"bsp": one.bsp, "product": one.product, **more}) for one in components
    ]


def _left_behind(service: str | None, inventory: Inventory) -> Stage:
    """Tell the parties of a service that another ISP's took the place of."""
    old = inventory.service.get(service or "")
    offering = inventory.offering.get(old.offering) if old else None
    if old is None or offering is None:
        return []
    whose = {"service": old.name, "isp": old.isp}
    told = _about(Kind.BSP_REMOVE, offering.components, **whose)
    return [*told, *([(Kind.DEVICE_REMOVE, whose)] if offering.device else [])]


def _stages(*stages: Stage) -> Iterator[Stage]:
    return (stage for stage in stages if stage)


def _add(wanted: Wanted, inventory: Inventory) -> Iterator[Stage]:
    offering = inventory.offering[wanted.offering or ""]
    isp = inventory.isp[wanted.isp]
    parties: Stage = [(Kind.DEVICE, {})] if offering.device else []
    parties += _about(Kind.BSP, offering.components)
    return _stages(
        [(Kind.LINE, {})] if wanted.line is None else [],
        [(Kind.IDENTITY, {})] if isp.approves_identities else [],
        parties,
        [(Kind.RATING_OPEN, {})],
        [(Kind.SERVICE, {})],
        [(Kind.COA, {})],
        [(Kind.PROOF, {})],
        [(Kind.TAKEOVER, {})] if wanted.replaces else [],
        _left_behind(wanted.replaces, inventory),
    )


def _modify(wanted: Wanted, inventory: Inventory) -> Iterator[Stage]:
    service = inventory.service[wanted.service]
    old = _components(service.offering, inventory)
    new = _components(wanted.offering or service.offering, inventory)
    parties: Stage = [(Kind.DEVICE, {})] if _reconfigures(wanted, inventory) else []
    parties += _about(Kind.BSP, [one for one in new if one not in old])
    former = wanted.moves_from
    device = _has_device(service.offering, inventory)
    return _stages(
        [(Kind.LINE, {})] if wanted.line is None else [],
        parties,
        [(Kind.RATING_OPEN, {})] if wanted.offering else [],
        [(Kind.SERVICE, {})],
        [(Kind.COA, {})],
        [(Kind.PROOF, {})] if former else [],
        [(Kind.TAKEOVER, {})] if former else [],
        [(Kind.DEVICE_REMOVE, {"line": former})] if former and device else [],
        _about(Kind.BSP_REMOVE, [one for one in old if one not in new]),
    )


def _has_device(offering: str | None, inventory: Inventory) -> bool:
    row = inventory.offering.get(offering or "")
    return bool(row and row.device)


def _reconfigures(wanted: Wanted, inventory: Inventory) -> bool:
    """Tell whether a change is the device's too: one that leaves an offering with a
    device for one without would otherwise leave the old speed on it."""
    service = inventory.service[wanted.service]
    sold = (service.offering, wanted.offering)
    told = wanted.offering or wanted.user_name
    devices = any(_has_device(one, inventory) for one in sold)
    return bool(wanted.device or (told and devices))


def _delete(wanted: Wanted, inventory: Inventory) -> Iterator[Stage]:
    service = inventory.service[wanted.service]
    offering = inventory.offering.get(service.offering)
    # Who does not answer keeps nobody's account open: a device may be unplugged.
    parties = _about(Kind.BSP_REMOVE, offering.components if offering else ())
    parties += [(Kind.DEVICE_REMOVE, {})] if offering and offering.device else []
    return _stages(
        [(Kind.COA, {})],  # its sessions are found while it is there
        [(Kind.REMOVE, {})],
        [(Kind.RATING_CLOSE, {}), *parties],
    )


def _no_change(_wanted: Wanted, _inventory: Inventory) -> Iterator[Stage]:
    return iter(())


_STAGES: Final[dict[Action, Callable[[Wanted, Inventory], Iterator[Stage]]]] = {
    Action.ADD: _add,
    Action.MODIFY: _modify,
    Action.DELETE: _delete,
    Action.NO_CHANGE: _no_change,
}
