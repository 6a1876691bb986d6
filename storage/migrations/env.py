"""What alembic runs for each command: the revisions, on the connection it was given.

There is no offline mode: the revisions run inside Fairlane, with the lock held.
"""

from __future__ import annotations

from alembic import context

from storage import columns

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=columns.metadata,
    # SQLite rolls DDL back like anything else; alembic assumes that it cannot.
    transactional_ddl=True,
    # SQLite changes a table by building it anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
