"""The interface against its own document: schemathesis asks, as three roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from rest_site import RestSite

from services.principal import Role
from storage.database import Database, migrate, open_database

ROLES = [
    (Role.ISP_SYSTEM, "aurora"),
    (Role.NETWORK_CSR, None),
    (Role.BSP_SYSTEM, "filmhouse"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestSite]:
    """One network for all questions: what they leave behind is part of it."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    database: Database = open_database("sqlite", folder)
    migrate(database)
    made = RestSite(database)
    with made.http:
        yield made
    database.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("role", "owner"), ROLES)
def test_no_question_that_the_document_allows_is_a_fault(
    site: RestSite, role: Role, owner: str | None, long: bool
) -> None:
    """Every operation, odd values and broken ones: no 5xx, no answer out of shape."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.application)
    headers = site.headers[role, owner]
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=200 if long else 6,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            answer = case.call(session=site.http, headers=headers)
            assert answer.status_code < 500, (case.method, case.path, answer.text)

        ask()
