"""What end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.coa_nas import CoaNas


@pytest.fixture(scope="module")
def nas() -> Iterator[CoaNas]:
    """A NAS that takes CoA; who needs one that only sends has a fixture of its own."""
    nas = CoaNas()
    yield nas
    nas.close()
