"""A condition on many values that are bound as one, on both databases."""

from __future__ import annotations

from sqlalchemy import insert, select

from storage.among import among
from storage.database import Database
from storage.provisioning_tables import held

QUERY = select(held.c.resource).where(among(held.c.resource)).order_by(held.c.resource)
NAMES = ['the "first"', "back\\slash", "{brace}", "süß", "a,b"]


def test_it_finds_what_is_listed_whatever_is_written_in_it(database: Database) -> None:
    """Quotes, braces and letters of other alphabets are values like any other."""
    rows = [{"resource": name, "quantity": 1} for name in [*NAMES, "another"]]
    with database.write.begin() as connection:
        connection.execute(insert(held), rows)
    with database.read.connect() as connection:
        all_of_them = connection.scalars(QUERY, {"keys": [*NAMES, "absent"]}).all()
        none = connection.scalars(QUERY, {"keys": []}).all()

    assert set(NAMES) == set(all_of_them)
    assert [] == none


def test_it_searches_by_an_index(database: Database) -> None:
    """A million rows are not walked through for a hundred values."""
    if database.is_postgresql:
        return  # which walks a table that is as small as a test's
    statement = str(QUERY.compile(dialect=database.read.dialect))
    with database.read.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("[]",))
        steps = [row[3] for row in plan]

    assert steps[0].startswith("SEARCH held USING")
