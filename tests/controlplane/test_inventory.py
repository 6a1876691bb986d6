"""The inventory over REST: who may edit what, and that nobody's work is overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from provisioning_site import body as order_body
from rest_site import RestSite

from services.inventory import ALL_KINDS
from services.principal import Role
from storage.database import Database
from storage.network import Change, apply

STAFF = (Role.NETWORK_CSR, None)
CSR = (Role.ISP_CSR, "aurora")
FOREIGN = (Role.ISP_CSR, "borealis")
READER = (Role.ISP_READER, "aurora")

NEW: dict[str, dict[str, Any]] = {
    "area": {"name": "valley"},
    "site": {"name": "exchange", "area": "harbour"},
    "node": {"name": "olt9", "area": "harbour", "ports": 8},
    "line": {"name": "line9", "area": "harbour", "circuit_id": "ge-0/0/9:9"},
    "nas": {"name": "bng9", "address": "192.0.2.9", "secret": "correct-horse-9"},
    "relay": {"area": "harbour", "giaddr": "192.0.2.99"},
    "isp": {"name": "zephyr", "realms": ["zephyr.example"]},
    "bsp": {"name": "gamehall"},
    "pool": {
        "name": "p9",
        "area": "hills",
        "isp": "aurora",
        "prefixes": ["10.9.0.0/16"],
    },
    "reserve": {"name": "r9", "prefixes": ["10.8.0.0/16"]},
    "offering": {"name": "home-1000", "isp": "aurora", "down_kbps": 9, "up_kbps": 9},
    "tax": {"name": "vat", "percent": "20"},
    "product": {"name": "film9", "bsp": "filmhouse", "price": "4.99"},
    "spending_limit": {"name": "s9", "isp": "aurora", "amount": "9", "currency": "EUR"},
    "customer": {"name": "C-9", "tenant": "aurora", "full_name": "Ann Lee"},
    "device": {"name": "ont-9", "tenant": "aurora", "line": "line1"},
    "service_site": {"name": "site99", "area": "harbour", "address": "9 Mole Road"},
}


@pytest.fixture
def site(database: Database) -> Iterator[RestSite]:
    """The network with REST in front of it."""
    made = RestSite(database)
    with made.http:
        yield made


def pointers(answer: Any) -> list[tuple[str, str]]:
    """The codes and places of a refusal."""
    return [(one["code"], one["pointer"]) for one in answer.json()["errors"]]


@pytest.mark.parametrize("kind", sorted(NEW))
def test_every_kind_is_made_read_changed_and_retired(site: RestSite, kind: str) -> None:
    """By the Network Provider's staff; each step is in the change log."""
    params = {"isp": "aurora"} if kind in ("customer", "device") else {}
    new = NEW[kind]
    made = site.ask("POST", f"/v1/inventory/{kind}", *STAFF, json=new, params=params)
    assert 201 == made.status_code, made.text
    place = made.headers["location"]
    again = site.ask("POST", f"/v1/inventory/{kind}", *STAFF, json=new, params=params)
    read = site.ask("GET", place, *STAFF, params=params)
    listed = site.ask("GET", f"/v1/inventory/{kind}", *STAFF, params=params)
    seen = {"if-match": read.headers["etag"]}
    gone = site.ask("DELETE", place, *STAFF, headers=seen, params=params)
    log = site.ask("GET", "/v1/changes", *STAFF, params={"kind": kind}).json()

    assert (409, "name_taken") == (again.status_code, again.json()["code"])
    assert made.json() == read.json()
    assert made.headers["etag"] == read.headers["etag"]
    assert read.json() in listed.json()
    assert 200 == gone.status_code, gone.text
    assert 404 == site.ask("GET", place, *STAFF, params=params).status_code
    assert ["delete", "add"] == [row["action"] for row in log]
    assert {"network_csr-network"} == {row["actor"] for row in log}
    assert "correct-horse-9" not in made.text + read.text + str(log)


def test_who_saw_an_older_revision_changes_nothing(site: RestSite) -> None:
    """412, and 428 for who does not say what he saw."""
    place = "/v1/inventory/line/line1"
    first = site.ask("GET", place, *STAFF).headers["etag"]
    blind = site.ask("PATCH", place, *STAFF, json={"state": "faulty"})
    one, two = (
        site.ask("PATCH", place, *STAFF, json=said, headers={"if-match": first})
        for said in ({"state": "faulty"}, {"state": "planned"})
    )
    last = site.ask("GET", place, *STAFF)

    assert (428, "if_match_missing") == (blind.status_code, blind.json()["code"])
    assert 200 == one.status_code
    assert (412, "changed_meanwhile") == (two.status_code, two.json()["code"])
    assert "faulty" == last.json()["state"]
    assert one.headers["etag"] == last.headers["etag"] != first


def test_a_patch_keeps_what_it_does_not_name_and_null_takes_away(
    site: RestSite,
) -> None:
    """RFC 7396; a dry run shows the difference and does nothing."""
    place = "/v1/inventory/line/line1"
    seen = site.ask("GET", place, *STAFF)
    tag = {"if-match": seen.headers["etag"]}
    patch = {"down_kbps": 5000, "site": None}
    dry = site.ask("PATCH", f"{place}?dry_run=true", *STAFF, json=patch, headers=tag)
    same = site.ask("GET", place, *STAFF)
    done = site.ask("PATCH", place, *STAFF, json=patch, headers=tag)

    assert seen.json() == same.json() == dry.json()["before"]
    assert dry.json()["after"] == done.json()
    assert 5000 == done.json()["down_kbps"]
    assert "site" not in done.json()
    assert seen.json()["circuit_id"] == done.json()["circuit_id"]


def test_an_isp_edits_its_own_offers_and_customers_and_nothing_else(
    site: RestSite,
) -> None:
    """Another's is not there, and what is not edited so says that."""
    offer = {"name": "home-9", "down_kbps": 9, "up_kbps": 9}
    made = site.ask("POST", "/v1/inventory/offering", *CSR, json=offer)
    tag = {"if-match": made.headers["etag"]}
    place = made.headers["location"]
    steal = site.ask(
        "POST", "/v1/inventory/offering", *CSR, json=offer | {"isp": "borealis"}
    )
    pool = {"name": "mine", "area": "hills", "prefixes": ["10.0.0.0/8"]}
    answers = {
        "reader": site.ask("PATCH", place, *READER, json={}, headers=tag),
        "foreign": site.ask("PATCH", place, *FOREIGN, json={}, headers=tag),
        "foreign read": site.ask("GET", place, *FOREIGN),
        "pool": site.ask("POST", "/v1/inventory/pool", *CSR, json=pool),
        "line": site.ask("POST", "/v1/inventory/line", *CSR, json=NEW["line"]),
        "line read": site.ask("GET", "/v1/inventory/line/line1", *CSR),
        "no kind": site.ask("GET", "/v1/inventory/moon", *CSR),
        "for another": site.ask("GET", "/v1/inventory/pool?isp=borealis", *CSR),
    }

    assert "aurora" == made.json()["isp"]
    assert 422 == steal.status_code
    assert [("not_the_tenant_s", "/isp")] == pointers(steal)
    assert {
        "reader": 403,
        "foreign": 404,
        "foreign read": 404,
        "pool": 403,
        "line": 404,
        "line read": 404,
        "no kind": 404,
        "for another": 403,
    } == {what: answer.status_code for what, answer in answers.items()}
    assert [] == site.ask("GET", "/v1/inventory/line", *CSR).json()
    own = site.ask("GET", "/v1/inventory/offering", *CSR).json()
    assert {"aurora"} == {one["isp"] for one in own}


def test_two_isps_have_customers_of_one_name(site: RestSite) -> None:
    """Each sees and retires its own."""
    path = "/v1/inventory/customer"
    for who, full in ((CSR, "Ann"), (FOREIGN, "Bo")):
        new = {"name": "C-1", "full_name": full}
        assert 201 == site.ask("POST", path, *who, json=new).status_code
    mine = site.ask("GET", f"{path}/C-1", *CSR)
    tag = {"if-match": mine.headers["etag"]}
    gone = site.ask("DELETE", f"{path}/C-1", *CSR, headers=tag)

    assert "Ann" == mine.json()["full_name"]
    assert 200 == gone.status_code
    assert "Bo" == site.ask("GET", f"{path}/C-1", *FOREIGN).json()["full_name"]


def test_what_is_wrong_with_a_body_is_told_with_its_place(site: RestSite) -> None:
    """Every mistake at once; rules between objects too; nothing is done."""
    path = "/v1/inventory/node"
    wrong = {"name": "olt/9", "ports": "many", "colour": "red"}
    bad = site.ask("POST", path, *STAFF, json=wrong)
    moon = {"name": "olt9", "area": "moon", "ports": 4}
    dangling = site.ask("POST", path, *STAFF, json=moon)
    seen = site.ask("GET", f"{path}/olt1", *STAFF)
    tag = {"if-match": seen.headers["etag"]}
    used = site.ask("DELETE", f"{path}/olt1", *STAFF, headers=tag)
    name = site.ask("PATCH", f"{path}/olt1", *STAFF, json={"name": "x"}, headers=tag)
    device = {"name": "d", "line": "line77", "customer": "C-77"}
    lost = site.ask("POST", "/v1/inventory/device", *CSR, json=device)

    assert {422} == {one.status_code for one in (bad, dangling, used, name, lost)}
    assert {
        ("invalid_value", "/name"),
        ("invalid_value", "/ports"),
        ("unknown_field", "/colour"),
        ("missing", "/area"),
    } == set(pointers(bad))
    assert [("conflict", "/area")] == pointers(dangling)
    assert {("still_used", "")} == set(pointers(used))
    assert [("name_fixed", "/name")] == pointers(name)
    assert [("conflict", "/line"), ("conflict", "/customer")] == pointers(lost)
    assert 404 == site.ask("GET", f"{path}/olt9", *STAFF).status_code


def test_while_a_quota_restricts_a_service_the_inventory_can_be_changed(
    site: RestSite,
) -> None:
    """A restriction is an object of the feed, and none of the inventory."""
    body = {"name": "s1", "isp": "aurora", "action": "block", "until": 1, "event": 1}
    with site.database.write.begin() as connection:
        apply(connection, [Change("add", "restriction", "s1", body)], 1)
    made = site.ask("POST", "/v1/inventory/line", *STAFF, json=NEW["line"])

    assert 201 == made.status_code, made.text


def test_an_isp_is_told_what_the_network_did_to_its_own(site: RestSite) -> None:
    """By an event of its own and in its change log, with who and why."""
    place = "/v1/inventory/offering/home-500"
    tag = {"if-match": site.ask("GET", place, *STAFF).headers["etag"]}
    said = {"isp": "aurora", "reason": "walk-in"}
    args = {"json": {"addresses": 2}, "headers": tag, "params": said}
    done = site.ask("PATCH", place, *STAFF, **args)
    events = site.ask("GET", "/v1/events").json()
    log = site.ask("GET", "/v1/changes", params={"name": "home-500"}).json()

    assert 200 == done.status_code, done.text
    assert ["ResourceAttributeValueChangeEvent"] == [e["eventType"] for e in events]
    assert [("network_csr-network", "walk-in")] == [
        (row["actor"], row["reason"]) for row in log
    ]
    assert [] == site.ask("GET", "/v1/events", *FOREIGN).json()
    assert [] == site.ask("GET", "/v1/changes", *FOREIGN).json()


def test_a_password_is_sealed_and_never_shown(site: RestSite) -> None:
    """Neither in an answer nor in the change log nor where it is stored."""
    site.ask("POST", "/tmf-api/serviceOrdering/v4/serviceOrder", json=order_body())
    site.run()
    place = "/v1/inventory/service/aurora-line1"
    tag = {"if-match": site.ask("GET", place, *STAFF).headers["etag"]}
    new = {"password": "another-word"}
    done = site.ask("PATCH", place, *STAFF, json=new, headers=tag)
    log = site.ask("GET", "/v1/changes", *STAFF).text
    stored = site.services()["aurora-line1"]

    assert 200 == done.status_code, done.text
    assert (
        site.seal("aurora", "aurora-line1", "another-word") == stored["password_sealed"]
    )
    assert "password" not in stored
    assert "another-word" not in done.text + log


def test_the_kinds_are_those_of_the_network_and_the_tables(site: RestSite) -> None:
    """An ISP is shown those that it may have objects of."""
    assert sorted(ALL_KINDS) == site.ask("GET", "/v1/inventory", *STAFF).json()
    assert "line" not in site.ask("GET", "/v1/inventory", *CSR).json()
