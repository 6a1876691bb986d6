"""Clients of the interfaces: made, given tokens, found by them, revoked."""

from __future__ import annotations

import pytest

from services.clients import (
    TOKEN_SECONDS,
    Credentials,
    Refusal,
    Token,
    add_client,
    identify,
    issue_token,
    revoke_client,
)
from services.idempotency import (
    ABANDONED_SECONDS,
    KEPT_SECONDS,
    Answer,
    Claim,
    answer,
    claim,
    forget,
)
from services.principal import OWNERS, SCOPES, Role, Scope
from storage.control_plane_tables import client, token
from storage.database import Database
from storage.network import Change, apply

NOW = 1_790_000_000


@pytest.fixture
def network(database: Database) -> Database:
    """A network with an ISP and a BSP."""
    with database.write.begin() as connection:
        rows = [Change("add", k, n, {"name": n}) for k, n in PARTIES]
        apply(connection, rows, NOW)
    return database


PARTIES = (("isp", "aurora"), ("bsp", "filmhouse"))


def made(database: Database, role: Role = Role.ISP_SYSTEM) -> Credentials:
    """A client of a role, of the party that such a client has."""
    owner = {"isp": "aurora", "bsp": "filmhouse"}.get(OWNERS[role])
    found = add_client(database, name=f"c-{role}", role=role, owner=owner, now=NOW)
    assert isinstance(found, Credentials)
    return found


def given(database: Database, who: Credentials, scope: str = "") -> Token:
    """A token for the credentials."""
    found = issue_token(database, *who, scope, NOW)
    assert isinstance(found, Token)
    return found


def test_every_role_has_an_owner_and_something_to_do() -> None:
    """The tables of roles are total."""
    assert set(Role) == SCOPES.keys() == OWNERS.keys()
    assert all(SCOPES.values())


@pytest.mark.parametrize("role", list(Role))
def test_the_holder_of_a_token_has_its_clients_tenant_role_and_scopes(
    network: Database, role: Role
) -> None:
    """The tenant comes from who authenticated and from nothing that was typed."""
    who = made(network, role)
    principal = identify(network, given(network, who).access_token, NOW)

    assert principal is not None
    owner = {"isp": "aurora", "bsp": "filmhouse"}.get(OWNERS[role], "network")
    assert (role, owner) == (principal.role, principal.tenant)
    assert SCOPES[role] == principal.scopes


def test_a_token_has_no_more_than_was_asked_for(network: Database) -> None:
    """RFC 6749 section 3.3: the scope may be narrower than the client's."""
    token = given(network, made(network), str(Scope.USAGE_READ))
    principal = identify(network, token.access_token, NOW)

    assert principal is not None
    assert {Scope.USAGE_READ} == principal.scopes


@pytest.mark.parametrize("scope", ["orders.on_behalf", "usage.read everything"])
def test_a_scope_that_the_role_lacks_is_refused(network: Database, scope: str) -> None:
    """Nothing is left out in silence."""
    refused = issue_token(network, *made(network), scope, NOW)

    assert isinstance(refused, Refusal)
    assert "invalid_scope" == refused.code


def test_a_wrong_secret_and_an_unknown_client_look_alike(network: Database) -> None:
    """A stranger does not learn which clients there are."""
    client_id, _ = made(network)
    refused = [
        issue_token(network, name, "wrong", "", NOW) for name in (client_id, "nobody")
    ]

    assert refused[0] == refused[1]
    assert isinstance(refused[0], Refusal)
    assert "invalid_client" == refused[0].code


def test_a_token_ends_with_its_hour_and_is_swept(network: Database) -> None:
    """What is expired opens nothing, and is not kept."""
    who = made(network)
    token_text = given(network, who).access_token

    assert identify(network, token_text, NOW + TOKEN_SECONDS - 1) is not None
    assert identify(network, token_text, NOW + TOKEN_SECONDS) is None
    issue_token(network, *who, "", NOW + TOKEN_SECONDS)
    with network.read.connect() as connection:
        assert 1 == len(connection.execute(token.select()).all())


def test_a_revoked_client_is_out_at_once_and_its_name_stays_taken(
    network: Database,
) -> None:
    """Its tokens end with it; an audit must never find two clients of one name."""
    who = made(network)
    token_text = given(network, who).access_token

    assert revoke_client(network, f"c-{Role.ISP_SYSTEM}", NOW)
    assert not revoke_client(network, f"c-{Role.ISP_SYSTEM}", NOW)
    assert identify(network, token_text, NOW) is None
    assert isinstance(issue_token(network, *who, "", NOW), Refusal)
    again = add_client(
        network,
        name=f"c-{Role.ISP_SYSTEM}",
        role=Role.ISP_SYSTEM,
        owner="aurora",
        now=NOW,
    )
    assert isinstance(again, Refusal)
    assert "name_taken" == again.code


@pytest.mark.parametrize(
    ("name", "role", "owner", "code"),
    [
        ("", Role.ISP_SYSTEM, "aurora", "invalid_name"),
        ("a b", Role.ISP_SYSTEM, "aurora", "invalid_name"),
        ("portal", Role.ISP_SYSTEM, None, "invalid_owner"),
        ("portal", Role.NETWORK_CSR, "aurora", "invalid_owner"),
        ("portal", Role.ISP_SYSTEM, "nobody", "unknown_owner"),
        ("portal", Role.ISP_SYSTEM, "filmhouse", "unknown_owner"),
    ],
)
def test_a_client_that_cannot_be_is_refused_by_code(
    network: Database, name: str, role: Role, owner: str | None, code: str
) -> None:
    """Each refusal has its own code, and makes nothing."""
    refused = add_client(network, name=name, role=role, owner=owner, now=NOW)

    assert isinstance(refused, Refusal)
    assert code == refused.code
    with network.read.connect() as connection:
        assert [] == connection.execute(client.select()).all()


def test_neither_secret_nor_token_is_in_the_database(network: Database) -> None:
    """Only their digests are: a stolen copy of the database opens nothing."""
    who = made(network)
    token_text = given(network, who).access_token
    with network.read.connect() as connection:
        rows = [
            *connection.execute(client.select()),
            *connection.execute(token.select()),
        ]

    assert who.client_secret not in str(rows)
    assert token_text not in str(rows)


def test_an_idempotency_key_is_claimed_once_and_answers_alike(
    database: Database,
) -> None:
    """New, then in progress, then the answer; another body or operation conflicts."""

    def ask(body: bytes = b"b", operation: str = "op", at: int = NOW) -> Claim | Answer:
        return claim(database, "c", "k", operation, body, at)

    assert Claim.NEW is ask()
    assert Claim.IN_PROGRESS is ask()
    answer(database, "c", "k", Answer(201, b"{}"))
    assert Answer(201, b"{}") == ask()
    assert Claim.CONFLICT is ask(body=b"other")
    assert Claim.CONFLICT is ask(operation="other")
    assert Claim.NEW is claim(database, "another client", "k", "op", b"x", NOW)
    assert Answer(201, b"{}") == ask(at=NOW + KEPT_SECONDS - 1)
    assert Claim.NEW is ask(at=NOW + KEPT_SECONDS)


def test_a_key_whose_work_was_given_up_may_be_used_again(database: Database) -> None:
    """After a refusal at once, after a death in between when it is surely over."""
    assert Claim.NEW is claim(database, "c", "k", "op", b"b", NOW)
    forget(database, "c", "k")
    assert Claim.NEW is claim(database, "c", "k", "op", b"b", NOW)
    later = NOW + ABANDONED_SECONDS
    assert Claim.NEW is claim(database, "c", "k", "op", b"b", later)
