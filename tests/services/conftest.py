"""A small network at work on each database."""

from __future__ import annotations

import pytest
from provisioning_site import Site, fill

from storage.database import Database


@pytest.fixture
def site(database: Database) -> Site:
    """Two ISPs, four lines, eight sites, and nothing ordered yet."""
    fill(database)
    return Site(database)
