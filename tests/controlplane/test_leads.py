"""A place that nobody knows: a lead, a survey by the network, a site, an order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from provisioning_site import body
from rest_site import RestSite

from services.principal import Role
from storage.database import Database

STAFF = (Role.NETWORK_CSR, None)
CSR = (Role.ISP_CSR, "aurora")
FOREIGN = (Role.ISP_CSR, "borealis")
CLIENT = (Role.CLIENT_SOFTWARE, None)
CHECKS = "/tmf-api/serviceQualificationManagement/v4/checkServiceQualification"
ORDERS = "/tmf-api/serviceOrdering/v4/serviceOrder"
UNKNOWN = "77 Elm Road, Porthaven 4711"
LEAD = {"contact": "ann@example.net", "wanted": "home-500", "address": UNKNOWN}


@pytest.fixture
def site(database: Database) -> Iterator[RestSite]:
    """The network with REST in front of it."""
    made = RestSite(database)
    with made.http:
        yield made


def listed(site: RestSite, state: str, *who: Any) -> list[str]:
    """The ids of the leads that somebody sees in a state."""
    answer = site.ask("GET", "/v1/leads", *who, params={"state": state})
    assert 200 == answer.status_code, answer.text
    return [str(one["id"]) for one in answer.json()]


def test_an_unknown_address_is_surveyed_becomes_a_site_and_is_ordered(
    site: RestSite,
) -> None:
    """The ISP is told what came of it; the place answers and takes orders then."""
    place = {"place": [{"role": "address", "value": UNKNOWN}]}
    before = site.ask("POST", CHECKS, *CSR, json=place).json()
    lead = site.ask("POST", "/v1/leads", *CSR, json=LEAD).json()["id"]
    waits = [listed(site, "survey", *who) for who in (CSR, STAFF, FOREIGN)]
    found = {"site": {"name": "elm77", "area": "harbour", "node": "olt1"}}
    done = site.ask("POST", f"/v1/leads/{lead}/survey", *STAFF, json=found)
    after = site.ask("POST", CHECKS, *CSR, json=place).json()
    sent = body()
    sent["serviceOrderItem"][0]["service"]["place"] = [
        {"role": "site", "name": "elm77"}
    ]
    order = site.ask("POST", ORDERS, *CSR, json=sent).json()
    told = [
        event["event"]
        for event in site.ask("GET", "/v1/events").json()
        if event["eventType"] == "LeadStateChangeEvent"
    ]
    again = site.ask("POST", f"/v1/leads/{lead}/survey", *STAFF, json=found)

    assert "address_unknown" == before["eligibilityUnavailabilityReason"][0]["code"]
    assert [[lead], [lead], []] == waits
    assert ("serviceable", "elm77") == (done.json()["state"], done.json()["site"])
    assert "qualified" == after["qualificationResult"]
    assert "acknowledged" == order["state"]
    assert 1 == len(told)
    assert 404 == again.status_code
    closed = site.ask("POST", f"/v1/leads/{lead}/close", *CSR)
    assert 204 == closed.status_code
    assert [lead] == listed(site, "closed", *CSR)


def test_a_place_that_cannot_be_served_is_told_too(site: RestSite) -> None:
    """Nothing is made of it."""
    lead = site.ask("POST", "/v1/leads", *CSR, json=LEAD).json()["id"]
    done = site.ask("POST", f"/v1/leads/{lead}/survey", *STAFF, json={"site": None})

    assert "unserviceable" == done.json()["state"]
    assert [lead] == listed(site, "unserviceable", *CSR)


def test_a_survey_that_finds_a_known_place_names_it(site: RestSite) -> None:
    """The address was written too oddly to be found."""
    lead = site.ask("POST", "/v1/leads", *CSR, json=LEAD).json()["id"]
    place = f"/v1/leads/{lead}/survey"
    twice = {"site": {"name": "site1", "area": "harbour"}}
    nowhere = {"site": {"name": "elm77", "area": "atlantis"}}
    wrong = [
        site.ask("POST", place, *STAFF, json=sent).json()["errors"][0]
        for sent in (twice, nowhere)
    ]
    done = site.ask("POST", place, *STAFF, json={"site": {"name": "site1"}}).json()

    assert ("name_taken", "/site/name") == (wrong[0]["code"], wrong[0]["pointer"])
    assert ("conflict", "/site/area") == (wrong[1]["code"], wrong[1]["pointer"])
    assert ("serviceable", "site1") == (done["state"], done["site"])


def test_only_the_network_s_staff_survey(site: RestSite) -> None:
    """For an ISP there is no such thing, its own lead or another's; client software
    leaves leads and lists none."""
    lead = site.ask("POST", "/v1/leads", *CSR, json=LEAD).json()["id"]
    found = {"site": {"name": "site1"}}
    for who in (CSR, FOREIGN):
        answer = site.ask("POST", f"/v1/leads/{lead}/survey", *who, json=found)
        assert 404 == answer.status_code
    assert 404 == site.ask("POST", f"/v1/leads/{lead}/close", *FOREIGN).status_code
    assert 201 == site.ask("POST", "/v1/leads", *CLIENT, json=LEAD).status_code
    assert 403 == site.ask("GET", "/v1/leads", *CLIENT).status_code
