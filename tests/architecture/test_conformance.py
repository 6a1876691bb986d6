"""What the pages of conformance promise: each proof that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs").glob("conformance*.md"))
PROOF = re.compile(r"`([\w/]+\.py)::(\w+)`")

SECRET_MADE = frozenset(
    {
        *("digest", "hexdigest", "hmac_md5", "message_authenticator"),
        *("challenge_response", "_sign", "_digest"),
    }
)
"""What computes octets that only who has the secret can."""


def compared(tree: ast.AST) -> list[int]:
    """Give the lines where such octets are compared by ``==``, which ends early."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
        and any(
            isinstance(side, ast.Call)
            and (getattr(side.func, "attr", None) or getattr(side.func, "id", None))
            in SECRET_MADE
            for side in (node.left, *node.comparators)
        )
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_proof_that_is_named_is_a_test(page: Path) -> None:
    """And every demand names at least one."""
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    demands = [row for row in rows if "---" not in row and "proved by" not in row]
    assert len(demands) > 30
    for row in demands:
        proofs = PROOF.findall(row)
        assert proofs, row
        for file, name in proofs:
            assert f"def {name}(" in (ROOT / "tests" / file).read_text(), name


@pytest.mark.parametrize("package", ["radius", "services", "controlplane"])
def test_what_a_secret_made_is_compared_in_constant_time(package: str) -> None:
    """By ``hmac.compare_digest``: how long ``==`` takes tells where they differ."""
    for path in sorted((ROOT / package).rglob("*.py")):
        assert [] == compared(ast.parse(path.read_text())), path


def test_a_comparison_in_the_open_is_found() -> None:
    """The search sees both sides, and calls by either kind of name."""
    for line in ("x == md5(y).digest()", "_sign(k, b) != s"):
        assert [1] == compared(ast.parse(line))
    assert [] == compared(ast.parse("compare_digest(x, md5(y).digest())"))
