"""Orders and qualifications over REST: TM Forum's shapes, idempotency, tenants."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provisioning_site import body, on_connection
from rest_site import RestSite
from sqlalchemy import delete, select

from controlplane.mqtt.devices import Devices
from controlplane.mqtt.intake import Intake
from controlplane.mqtt.link import Message
from services.actor import Actor
from services.principal import Role
from services.provisioning import ObjectChange
from storage.database import Database
from storage.lease_tables import lease
from storage.provisioning_tables import (
    order_task,
    service_order_item,
    service_record,
    subscription,
)

ORDERS = "/tmf-api/serviceOrdering/v4/serviceOrder"
CANCELS = "/tmf-api/serviceOrdering/v4/cancelServiceOrder"
CHECKS = "/tmf-api/serviceQualificationManagement/v4/checkServiceQualification"
QUERIES = "/tmf-api/serviceQualificationManagement/v4/queryServiceQualification"
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "tmf"

STAFF = (Role.NETWORK_CSR, None)
BOREALIS = (Role.ISP_SYSTEM, "borealis")
CLIENT = (Role.CLIENT_SOFTWARE, None)


@pytest.fixture
def site(database: Database) -> Iterator[RestSite]:
    """The network with REST in front of it."""
    made = RestSite(database)
    with made.http:
        yield made


NAMED = {"relatedParty": [{"role": "isp", "name": "aurora"}]}


def token_of(site: RestSite, line: str, address: str = "10.0.0.9") -> str:
    """Have a line in the walled garden, and ask as its client software does."""
    site.lease(line, "", address)
    site.source = address
    shown = site.ask("POST", QUERIES, *CLIENT, json={}).json()
    with site.database.write.begin() as connection:
        connection.execute(delete(lease).where(lease.c.line == line))
    return str(shown["lineToken"])


def state(site: RestSite, order_id: str) -> str:
    """The state of an order, as REST tells it."""
    return str(site.ask("GET", f"{ORDERS}/{order_id}").json()["state"])


def test_an_order_goes_from_placed_to_completed(site: RestSite) -> None:
    """201 with its place; completed when the network shows it, not before."""
    placed = site.ask("POST", ORDERS, json=body())
    order_id = placed.json()["id"]

    assert 201 == placed.status_code
    assert placed.headers["location"] == f"{ORDERS}/{order_id}"
    assert "s3cret-word" not in placed.text
    site.run()
    assert "inProgress" == state(site, order_id)
    site.now += 5
    site.connect("sub1@aurora.example")
    site.run(seconds=2)
    assert "completed" == state(site, order_id)


def test_the_same_order_again_is_the_same_and_another_body_conflicts(
    site: RestSite,
) -> None:
    """externalId is the key; ?externalId= finds it."""
    first = site.ask("POST", ORDERS, json=body())
    again = site.ask("POST", ORDERS, json=body())
    other = site.ask("POST", ORDERS, json=body(line="line2"))
    found = site.ask("GET", ORDERS, params={"externalId": "A-1"})

    assert (201, 200, 409) == tuple(
        answer.status_code for answer in (first, again, other)
    )
    assert first.json()["id"] == again.json()["id"]
    assert "external_id_conflict" == other.json()["code"]
    assert "/externalId" == other.json()["errors"][0]["pointer"]
    assert [first.json()["id"]] == [one["id"] for one in found.json()]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (lambda sent: sent.pop("externalId"), ""),
        (lambda sent: sent.update(serviceOrderItem=[]), "/serviceOrderItem"),
        (
            lambda sent: sent["serviceOrderItem"][0].update(action="fly"),
            "/serviceOrderItem/0/action",
        ),
        (lambda sent: sent.update(requestedStartDate="soon"), "/requestedStartDate"),
    ],
)
def test_a_body_that_is_no_order_is_refused_with_the_place(
    site: RestSite, change: Any, pointer: str
) -> None:
    """422 problem details with a JSON pointer; nothing is kept."""
    sent = body()
    change(sent)
    answer = site.ask("POST", ORDERS, json=sent)

    assert 422 == answer.status_code
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert pointer == answer.json()["errors"][0]["pointer"]
    assert [] == site.ask("GET", ORDERS).json()


def test_an_order_that_cannot_be_carried_out_is_kept_as_rejected(
    site: RestSite,
) -> None:
    """Each item says what is known of it, and what is wrong, with its place."""
    sent = body()
    sent["serviceOrderItem"].append(
        body(line="nowhere", user="sub2@aurora.example")["serviceOrderItem"][0]
        | {"id": "2"}
    )
    answer = site.ask("POST", ORDERS, json=sent)
    items = answer.json()["serviceOrderItem"]

    assert (201, "rejected") == (answer.status_code, answer.json()["state"])
    assert ["rejected.validated", "rejected"] == [item["state"] for item in items]
    assert items[1]["errorMessage"][0]["referenceError"].startswith(
        "/serviceOrderItem/1"
    )


def test_an_order_before_its_point_of_no_return_is_cancelled(site: RestSite) -> None:
    """The cancel task says how it ended."""
    order_id = site.ask("POST", ORDERS, json=body()).json()["id"]
    task = site.ask("POST", CANCELS, json={"serviceOrder": {"id": order_id}})

    assert 201 == task.status_code
    site.run()
    assert "cancelled" == state(site, order_id)
    again = site.ask("GET", f"{CANCELS}/{task.json()['id']}")
    assert "done" == again.json()["state"]


def test_the_network_s_staff_order_on_behalf_of_an_isp_which_is_told(
    site: RestSite,
) -> None:
    """The order is the ISP's; who placed it is in it."""
    sent = body() | {"relatedParty": [{"role": "isp", "name": "aurora"}]}
    placed = site.ask("POST", ORDERS, *STAFF, json=sent)

    assert 201 == placed.status_code
    mine = site.ask("GET", f"{ORDERS}/{placed.json()['id']}").json()
    assert {"role": "orderedBy", "name": "network_csr-network"} in mine["relatedParty"]
    events = site.ask("GET", "/v1/events").json()
    assert "aurora" == events[0]["event"]["onBehalfOf"]


def test_an_isp_cannot_act_for_another(site: RestSite) -> None:
    """403 for acting, 404 for looking, nothing in a list."""
    order_id = site.ask("POST", ORDERS, json=body()).json()["id"]
    named = body("B-1") | {"relatedParty": [{"role": "isp", "name": "aurora"}]}

    assert 403 == site.ask("POST", ORDERS, *BOREALIS, json=named).status_code
    assert 404 == site.ask("GET", f"{ORDERS}/{order_id}", *BOREALIS).status_code
    assert [] == site.ask("GET", ORDERS, *BOREALIS).json()
    cancel = {"serviceOrder": {"id": order_id}}
    assert 404 == site.ask("POST", CANCELS, *BOREALIS, json=cancel).status_code
    assert "cancelled" != state(site, order_id)


def test_client_software_orders_for_the_isp_it_names_and_sees_only_its_own(
    site: RestSite,
) -> None:
    """It may not list, nor see an order that another placed."""
    sent = on_connection(body(), token_of(site, "line1")) | NAMED
    other = site.ask("POST", ORDERS, json=body("A-2", line="line2")).json()["id"]
    mine = site.ask("POST", ORDERS, *CLIENT, json=sent).json()["id"]

    # Client software is in no ISP's tenant: what it orders is found by its id.
    assert 403 == site.ask("POST", ORDERS, *CLIENT, json=body("A-3")).status_code
    assert 200 == site.ask("GET", f"{ORDERS}/{mine}", *CLIENT).status_code
    assert 404 == site.ask("GET", f"{ORDERS}/{other}", *CLIENT).status_code
    assert 403 == site.ask("GET", ORDERS, *CLIENT).status_code


def test_client_software_is_known_by_its_connection_alone(site: RestSite) -> None:
    """Nothing is typed: the lease of who asks says which line, and the token that it
    gets orders there; another's address is no line of its own."""
    site.lease("line2", "", "10.0.0.7")
    site.source = "10.0.0.7"
    shown = site.ask("POST", QUERIES, *CLIENT, json={}).json()
    site.source = "10.0.0.8"
    nobody = site.ask("POST", QUERIES, *CLIENT, json={}).json()
    isp = site.ask("POST", CHECKS, json={})

    assert [{"role": "line", "name": "line2"}] == shown["place"][-1:]
    assert shown["lineToken"]
    assert "lineToken" not in nobody
    assert ["unknown_line"] == [
        one["code"] for one in nobody["eligibilityUnavailabilityReason"]
    ]
    assert 422 == isp.status_code


def test_client_software_takes_no_id_from_its_isp(site: RestSite) -> None:
    """Its externalId is in a space of its own: else a program that orders under every
    id would have each of the ISP's own orders be a conflict."""
    sent = on_connection(body("A-1"), token_of(site, "line1")) | NAMED
    theirs = site.ask("POST", ORDERS, *CLIENT, json=sent)
    own = site.ask(
        "POST", ORDERS, json=body("A-1", line="line2", user="x@aurora.example")
    )

    assert [201, 201] == [theirs.status_code, own.status_code]
    assert "client:A-1" == theirs.json()["externalId"]
    assert (
        theirs.json()["id"] == site.ask("POST", ORDERS, *CLIENT, json=sent).json()["id"]
    )


def test_a_program_in_a_hurry_holds_up_no_other_of_its_kind(site: RestSite) -> None:
    """They share a credential; each address has its own allowance."""
    site.source = "10.0.0.8"
    answers = {
        site.ask("GET", "/v1/activations/x", *CLIENT).status_code for _ in range(2001)
    }
    site.source = "10.0.0.9"
    other = site.ask("GET", "/v1/activations/x", *CLIENT).status_code

    assert {404, 429} == answers
    assert 404 == other


def test_what_client_software_tells_of_the_subscriber_s_side_is_kept(
    site: RestSite,
) -> None:
    """System, modem and the program's own checks, for whoever helps later; it changes
    no answer, and what failed is told with it."""
    site.lease("line2", "", "10.0.0.7")
    site.source = "10.0.0.7"
    told = {
        "system": "Debian 12",
        "modemMac": "02:00:00:00:00:01",
        "checks": [{"name": "dns", "ok": False}, {"name": "link", "ok": True}],
    }
    asked = {"subscriberEquipment": told}
    shown = site.ask("POST", QUERIES, *CLIENT, json=asked).json()
    plain = site.ask("POST", QUERIES, *CLIENT, json={}).json()
    long = {"subscriberEquipment": {"system": "x" * 101}}
    reasons = shown["eligibilityUnavailabilityReason"]

    assert told["modemMac"] == shown["subscriberEquipment"]["modemMac"]
    assert ["pre_check_failed"] == [one["code"] for one in reasons]
    assert "dns" in reasons[0]["label"]
    assert plain["qualificationResult"] == shown["qualificationResult"]
    assert 400 == site.ask("POST", QUERIES, *CLIENT, json=long).status_code


def test_an_activation_is_found_again_after_a_reboot_and_ends_online(
    site: RestSite,
) -> None:
    """By the token that was kept on disk; each answer says what to do next."""
    sent = on_connection(body(), token_of(site, "line1")) | NAMED
    placed = site.ask("POST", ORDERS, *CLIENT, json=sent).json()
    again = site.ask("POST", ORDERS, *CLIENT, json=sent).json()
    place = f"/v1/activations/{placed['resumeToken']}"

    def step() -> tuple[str, str]:
        shown = site.ask("GET", place, *CLIENT).json()
        wrong = next((one for one in shown["checks"] if not one["ok"]), {"code": ""})
        return shown["next"], wrong["code"]

    told = [step()]
    site.run()
    told.append(step())
    site.lease("line1", "", "10.0.0.9")
    told.append(step())
    site.connect("sub1@aurora.example")
    told.append(step())
    site.run(seconds=2)
    told.append(step())

    assert 404 == site.ask("GET", place, *BOREALIS).status_code
    assert 200 == site.ask("GET", place).status_code
    assert placed["resumeToken"] == again["resumeToken"]
    assert [
        ("wait", "service_pending"),
        ("renew", "nothing_seen"),
        ("renew", "walled_garden"),
        ("wait", ""),
        ("done", ""),
    ] == told


def test_a_token_that_is_not_ours_shows_no_activation(site: RestSite) -> None:
    """Nor does one that was made for something else."""
    line_token = token_of(site, "line1")
    for token in ("x", "A" * 500, line_token):
        for answer in (
            site.ask("GET", f"/v1/activations/{token}", *CLIENT),
            site.ask(
                "POST",
                f"/v1/activations/{token}/reports",
                *CLIENT,
                json={"checks": []},
            ),
        ):
            assert 404 == answer.status_code


def test_what_client_software_sees_is_an_alert_of_its_order(site: RestSite) -> None:
    """With whose the fault is as we see it; a program in a loop floods nobody."""
    sent = on_connection(body(), token_of(site, "line1")) | NAMED
    placed = site.ask("POST", ORDERS, *CLIENT, json=sent).json()
    place = f"/v1/activations/{placed['resumeToken']}/reports"
    checks = [
        {"name": "link", "ok": True},
        {"name": "dns", "ok": False, "detail": "no answer of 192.0.2.53"},
    ]
    for _ in range(3):
        site.ask("POST", place, *CLIENT, json={"checks": checks})
    shown = site.ask("GET", f"{ORDERS}/{placed['id']}").json()

    (alert,) = shown["jeopardyAlert"]
    assert "reported by client software" == alert["name"]
    said = "dns: no answer of 192.0.2.53; service_pending (network's)"
    assert said == alert["message"]


def test_the_same_order_through_every_channel_leaves_the_same_state(
    site: RestSite,
) -> None:
    """R1 to R4 over REST, and MQTT: only who asked differs. Compared are the service,
    its record and its subscription, and the items and tasks of the order."""
    named = {"relatedParty": [{"role": "isp", "name": "aurora"}]}
    channels = (
        ((Role.ISP_SYSTEM, "aurora"), {}),
        (CLIENT, named),
        ((Role.ISP_CSR, "aurora"), {}),
        (STAFF, named),
    )
    line5 = {"name": "line5", "area": "harbour", "node": "olt1", "site": "site5"}
    line5["circuit_id"] = "ge-0/0/1:5"
    with site.transaction() as transaction:
        change = ObjectChange("line", "line5", None, line5)
        transaction.change(Actor("clara", "network", "console"), [change])
    left = set()
    for number in range(1, 6):
        user = f"sub{number}@aurora.example"
        sent = body(f"A-{number}", line=f"line{number}", user=user)
        if number <= len(channels):
            who, more = channels[number - 1]
            if who == CLIENT:
                sent = on_connection(sent, token_of(site, f"line{number}"))
            order_id = site.ask("POST", ORDERS, *who, json=sent | more).json()["id"]
        else:
            order_id = by_mqtt(site, sent)
        site.run()
        site.now += 5
        site.connect(user)
        site.run(seconds=2)
        assert "completed" == state(site, order_id)
        left.add(left_behind(site, order_id, number))

    assert 1 == len(left)


def by_mqtt(site: RestSite, sent: dict[str, Any]) -> str:
    """Place an order as the broker brings it, and give its id."""
    intake = Intake(
        site.provisioning,
        keys=site.keys,
        new_id=site.new_id,
        now=lambda: float(site.now),
        ring=lambda: None,
        devices=Devices(),
    )
    message = Message("fairlane/v1/aurora/orders", json.dumps(sent).encode(), False)
    (news,) = asyncio.run(intake.handle([message]))
    return str(json.loads(news.payload)["id"])


def left_behind(site: RestSite, order_id: str, number: int) -> str:
    """What an order left in the tables, but for its number, its times and who asked."""
    found: list[Any] = [site.services()[f"aurora-line{number}"]]
    tables = {
        service_record: service_record.c.order_id == order_id,
        subscription: subscription.c.service == f"aurora-line{number}",
        service_order_item: service_order_item.c.order_id == order_id,
        order_task: order_task.c.order_id == order_id,
    }
    with site.database.read.connect() as connection:
        for table, mine in tables.items():
            rows = select(table).where(mine).order_by(*table.primary_key)
            for row in connection.execute(rows).mappings():
                own = {"order_id", "id"} | {k for k in row if k.endswith("_at")}
                found.append({k: v for k, v in row.items() if k not in own})
    shown = re.sub(r"'since': \d+|'changed_at': \d+", "'at'", str(found))
    for word in (f"line{number}", f"sub{number}", f"site{number}"):
        shown = shown.replace(word, word.rstrip("12345"))
    return shown


def test_a_check_holds_what_it_promises_and_names_its_reasons(site: RestSite) -> None:
    """TMF645: qualified, with a date until which it is so."""
    asked = {
        "place": [{"role": "line", "name": "line1"}],
        "serviceQualificationItem": [
            {"id": "1", "service": {"serviceSpecification": {"name": "home-500"}}}
        ],
    }
    answer = site.ask("POST", CHECKS, json=asked)
    shown = answer.json()

    assert 201 == answer.status_code
    assert ("done", "qualified", "green") == (
        shown["state"],
        shown["qualificationResult"],
        shown["confidence"],
    )
    assert shown["expirationDate"]
    again = site.ask("GET", f"{CHECKS}/{shown['id']}")
    assert "open" == again.json()["validity"]
    stranger = site.ask("GET", f"{CHECKS}/{shown['id']}", *BOREALIS)
    assert 404 == stranger.status_code


def test_client_software_asks_what_there_is_before_any_isp_is_chosen(
    site: RestSite,
) -> None:
    """Every ISP of the line, in an order whose seed is told."""
    asked = {"place": [{"role": "line", "name": "line1"}]}
    shown = site.ask("POST", QUERIES, *CLIENT, json=asked).json()

    assert {"aurora", "borealis"} == set(shown["availableIsp"]["name"])
    assert shown["availableIsp"]["seed"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "place_missing"),
        ({"place": [{"role": "planet", "name": "x"}]}, "unknown_place_role"),
    ],
)
def test_a_question_without_a_place_is_refused(
    site: RestSite, asked: dict[str, Any], code: str
) -> None:
    """422 with a stable code."""
    answer = site.ask("POST", CHECKS, json=asked)

    assert (422, code) == (answer.status_code, answer.json()["code"])


def test_only_who_may_override_does(site: RestSite) -> None:
    """An ISP's web system may not; its representative may, with a reason."""
    asked = {
        "place": [{"role": "address", "value": "1 Quay Street, Porthaven 4711"}],
        "override": {"site": "site1", "reason": "the customer said so"},
    }

    assert 403 == site.ask("POST", CHECKS, json=asked).status_code
    csr = site.ask("POST", CHECKS, Role.ISP_CSR, "aurora", json=asked)
    assert 201 == csr.status_code


@pytest.mark.skipif(not CASES.exists(), reason="TM Forum's documents are not here")
def test_orders_and_qualifications_have_the_fields_that_tm_forum_names(
    site: RestSite,
) -> None:
    """Everything shown is TMF641's or TMF645's, or is known to be ours."""
    asked = {"place": [{"role": "line", "name": "line1"}]}
    made = {
        ("tmf641.json", "ServiceOrder"): site.ask("POST", ORDERS, json=body()),
        ("tmf645.json", "CheckServiceQualification"): site.ask(
            "POST", CHECKS, json=asked
        ),
    }
    ours = {"confidence", "@type", "place", "eligibilityUnavailabilityReason"}
    ours |= {"availableIsp", "validity"}
    for (file, name), answer in made.items():
        document = json.loads((CASES / file).read_text())
        known = document["definitions"][name]["properties"].keys()
        assert set() == answer.json().keys() - known - ours, name


def test_a_lead_and_a_webhook_with_a_key_are_made_once(site: RestSite) -> None:
    """Idempotency-Key: the same body gets the same answer, another body a conflict, and
    what was refused may be tried again under its key."""
    key = {"idempotency-key": "k-1"}
    lead = {"contact": "ann@example.net", "wanted": "home-500"}
    first, again, other, refused = (
        site.ask("POST", "/v1/leads", json=sent, headers=sent_key)
        for sent, sent_key in (
            (lead, key),
            (lead, key),
            (lead | {"wanted": "other"}, key),
            (lead | {"contact": ""}, {"idempotency-key": "k-2"}),
        )
    )
    mended = site.ask(
        "POST", "/v1/leads", json=lead, headers={"idempotency-key": "k-2"}
    )
    hub = "/tmf-api/serviceOrdering/v4/hub"
    hooks = [
        site.ask(
            "POST",
            hub,
            json={"callback": "https://192.0.2.1/told"},
            headers={"idempotency-key": "k-3"},
        )
        for _ in range(2)
    ]

    assert (201, 201, 409) == tuple(a.status_code for a in (first, again, other))
    assert first.json() == again.json()
    assert "idempotency_conflict" == other.json()["code"]
    assert (422, 201) == (refused.status_code, mended.status_code)
    assert hooks[0].json() == hooks[1].json()
