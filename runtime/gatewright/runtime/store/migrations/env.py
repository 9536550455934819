"""Alembic's entry: migrates the connection it is handed."""

from alembic import context

from gatewright.runtime.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.METADATA,
    render_as_batch=True,
    include_name=lambda name, kind, _parents: kind != "table" or name in schema.METADATA.tables,
)
with context.begin_transaction():
    context.run_migrations()
