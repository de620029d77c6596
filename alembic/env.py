"""How alembic reaches the database: by the connection that agent.store.database.migrations gives, else by the URL of
the settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.util import CommandError

from agent.store.tables import in_one_schema
from alembic import context


def run(connection: sa.Connection) -> None:
    """Run the migrations in the transaction that `connection` is in."""
    # render_as_batch: what `alembic revision --autogenerate` writes must be able to change a table on SQLite.
    context.configure(
        connection=connection, target_metadata=in_one_schema(), render_as_batch=True, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Entry for `alembic` and for agent.store.database.migrations."""
    if context.is_offline_mode():
        raise CommandError("--sql is not supported: migrations look at the database; run them against it")
    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    from agent.settings import database_url
    from agent.store.database.engine import open_engine
    from agent.store.database.migrations import migrating

    engine = open_engine(database_url())
    try:
        with migrating(engine) as connection:
            run(connection)
    finally:
        engine.dispose()


main()
