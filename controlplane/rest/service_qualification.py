"""TMF645 service qualification: can this place have this service, and for how long.

``checkServiceQualification`` asks for an ISP's offerings and gets a firm answer, held
until it expires; ``queryServiceQualification`` asks what there is and holds nothing.
Answers are immediate, so every task is ``done``, or asks for a choice of address.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from config.moment import moment
from controlplane.channels import actor_of
from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.problems import Problem, not_found, refused
from provisioning.line_token import issue
from provisioning.qualification import Answer
from provisioning.refusal import Refusal
from provisioning.subscriber_equipment import Equipment, cautions
from services.actor import CLIENT_SOFTWARE, Actor
from services.principal import Principal, Role, Scope
from services.provisioning import Transaction
from services.qualification import Override, Qualification, Query
from services.qualification_life import find

BASE: Final = "/tmf-api/serviceQualificationManagement/v4"
ITEMS_MAX: Final = 50

_REFUSED: Final = HTTPStatus.UNPROCESSABLE_ENTITY
_STATUS: Final = {"too_many_open_qualifications": HTTPStatus.TOO_MANY_REQUESTS}

_POINTERS: Final = {
    "/address": "/place",
    "/isp": "/relatedParty",
    "/offerings": "/serviceQualificationItem",
}


class _Wire(msgspec.Struct, rename="camel"):
    """TM Forum writes camelCase; what this does not use is passed over."""


class _Party(_Wire, rename="camel"):
    role: str
    name: str | None = None
    id: str | None = None


class _Place(_Wire, rename="camel"):
    role: str = "address"
    name: str | None = None
    id: str | None = None
    value: str | None = None


class _Specification(_Wire, rename="camel"):
    name: str | None = None
    id: str | None = None


class _Service(_Wire, rename="camel"):
    service_specification: _Specification | None = None
    place: list[_Place] = []


class _Item(_Wire, rename="camel"):
    id: str = ""
    service: _Service | None = None


class _Override(_Wire, rename="camel"):
    site: str
    reason: str


class Request645(_Wire, rename="camel"):
    """What is asked: where, by whom, for which offerings."""

    external_id: str = ""
    related_party: list[_Party] = []
    place: list[_Place] = []
    service_qualification_item: list[_Item] = []
    provide_alternative: bool = True
    override: _Override | None = None
    subscriber_equipment: Equipment | None = None


def _query(
    actor: Actor, asked: Request645, *, hold: bool, seed: str, source: str | None
) -> Query:
    items = [i.service for i in asked.service_qualification_item if i.service]
    places = [*asked.place, *(place for item in items for place in item.place)]
    given: dict[str, str] = {}
    for number, place in enumerate(places):
        role = {"connection": "token"}.get(place.role, place.role)
        said = place.value or place.name or place.id
        if role not in ("site", "line", "address", "token") or not said:
            reason = "a place is a site, line, address or connection, with its name"
            refusal = Refusal("unknown_place_role", f"/place/{number}", reason)
            raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, [refusal])
        given[role] = said
    if not given and source is not None and actor.channel == CLIENT_SOFTWARE:
        given["source"] = source  # the lease of its own connection says which line
    specifications = [s.service_specification for s in items]
    names = [s.name or s.id for s in specifications if s]
    override = asked.override
    return Query(
        actor=actor,
        isp=actor.isp,
        offerings=tuple(dict.fromkeys(name for name in names if name)),
        external_id=asked.external_id,
        alternatives=asked.provide_alternative,
        hold=hold,
        seed=seed,
        override=Override(override.site, override.reason) if override else None,
        equipment=asked.subscriber_equipment,
        **given,
    )


def _shown(made: Qualification, kind: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": made.id,
        "href": f"{BASE}/{kind}/{made.id}",
        "externalId": made.external_id,
        "state": "done" if made.state == "done" else "inProgress",
        "qualificationResult": made.result.value,
        "confidence": made.color.value,
        "effectiveQualificationDate": moment(made.at),
        "serviceQualificationItem": [
            _item(number, answer) for number, answer in enumerate(made.answers, start=1)
        ],
        "eligibilityUnavailabilityReason": _reasons(
            [*made.reasons, *cautions(made.equipment)]
        ),
        "place": [
            {"role": role, "name": name}
            for role, name in (("site", made.site), ("line", made.line))
            if name
        ],
        "@type": kind[0].upper() + kind[1:],
    }
    if made.expires_at:
        shown["expirationDate"] = moment(made.expires_at)
    if made.candidates:
        shown["informationRequired"] = [
            {"site": one.site, "address": one.address, "score": one.score}
            for one in made.candidates
        ]
    if made.equipment is not None:
        shown["subscriberEquipment"] = msgspec.to_builtins(made.equipment)
    if made.isps:
        shown["availableIsp"] = {"name": list(made.isps), "seed": made.seed}
    return shown


def _item(number: int, answer: Answer) -> dict[str, Any]:
    said = {
        "downKbps": answer.down_kbps,
        "upKbps": answer.up_kbps,
        "technology": answer.technology,
        "install": answer.install,
        "installationIntervalDays": answer.interval_days,
        "changeOfIsp": answer.change_of_isp,
        "addressOutlook": msgspec.to_builtins(answer.addresses),
    }
    return {
        "id": str(number),
        "state": "done",
        "qualificationResult": answer.result.value,
        "confidence": answer.color.value,
        "eligibilityUnavailabilityReason": _reasons(answer.reasons),
        "alternateServiceProposal": [
            {"alternateService": {"serviceSpecification": {"name": name}}}
            for name in answer.alternates
        ],
        "service": {
            "serviceSpecification": {"name": answer.offering},
            "relatedParty": [{"role": "isp", "name": answer.isp}],
            "serviceCharacteristic": [
                {"name": name, "value": value}
                for name, value in said.items()
                if value is not None
            ],
        },
    }


def _reasons(reasons: Sequence[Any]) -> list[dict[str, str]]:
    return [{"code": one.code, "label": one.label} for one in reasons]


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of qualification."""
    guards, tags = [requires(Scope.QUALIFY)], ["qualification"]

    def actor(principal: Principal, asked: Request645) -> Actor:
        named = [p.name or p.id for p in asked.related_party if p.role == "isp"]
        found = actor_of(principal, named[0] if named else None)
        if found is None and not named:
            # Client software asks before any ISP is chosen.
            found = Actor(principal.name, principal.tenant, CLIENT_SOFTWARE)
        if found is None:
            raise Problem(HTTPStatus.FORBIDDEN, "isp_not_allowed")
        if asked.override and Scope.OVERRIDE not in principal.scopes:
            raise Problem(HTTPStatus.FORBIDDEN, "insufficient_scope")
        return found

    async def answer(
        request: Request[Any, Any, Any], asked: Request645, kind: str, *, hold: bool
    ) -> Response[dict[str, Any]]:
        source = request.client.host if request.client else None
        if len(asked.service_qualification_item) > ITEMS_MAX:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "too_many_items")
        query = _query(
            actor(request.user, asked),
            asked,
            hold=hold,
            seed=context.new_id(),
            source=source,
        )
        made = await context.qualifications.ask(query)
        if isinstance(made, Refusal):
            place = _POINTERS.get(made.pointer, made.pointer)
            told = made._replace(pointer=place)
            raise refused(_STATUS.get(told.code, _REFUSED), [told])
        body = _shown(made, kind)
        if query.source is not None and made.line is not None:
            body["lineToken"] = issue(made.line, context.now(), context.keys.token_key)
        return Response(
            body, status_code=HTTPStatus.CREATED, headers={"Location": body["href"]}
        )

    @post(
        f"{BASE}/checkServiceQualification",
        guards=guards,
        tags=tags,
        summary="Can this place have this service",
    )
    async def check(
        request: Request[Any, Any, Any], data: JSONBody[Request645]
    ) -> Response[dict[str, Any]]:
        """Answer for an ISP's offerings, and hold what is promised."""
        return await answer(request, data, "checkServiceQualification", hold=True)

    @post(
        f"{BASE}/queryServiceQualification",
        guards=guards,
        tags=tags,
        summary="What can this place have",
    )
    async def query(
        request: Request[Any, Any, Any], data: JSONBody[Request645]
    ) -> Response[dict[str, Any]]:
        """Answer for every ISP, in a neutral order, and hold nothing."""
        return await answer(request, data, "queryServiceQualification", hold=False)

    async def one(principal: Principal, number: str, kind: str) -> dict[str, Any]:
        seen = Actor(principal.name, principal.tenant, "")

        def work(transaction: Transaction) -> tuple[Qualification, str] | None:
            return find(transaction, number, seen)

        # Client software has its answer already, and none of the others'.
        mine = principal.role is not Role.CLIENT_SOFTWARE
        found = await context.transact(work) if mine else None
        if found is None:
            raise not_found()
        return _shown(found[0], kind) | {"validity": found[1]}

    @get(
        f"{BASE}/checkServiceQualification/{{number:str}}",
        guards=guards,
        tags=tags,
        summary="An answer that was given",
    )
    async def show_check(
        request: Request[Any, Any, Any], number: FromPath[str]
    ) -> dict[str, Any]:
        """Give an answer again."""
        return await one(request.user, number, "checkServiceQualification")

    @get(
        f"{BASE}/queryServiceQualification/{{number:str}}",
        guards=guards,
        tags=tags,
        summary="An answer that was given",
    )
    async def show_query(
        request: Request[Any, Any, Any], number: FromPath[str]
    ) -> dict[str, Any]:
        """Give an answer again."""
        return await one(request.user, number, "queryServiceQualification")

    return [check, query, show_check, show_query]
