"""Alembic's entry: runs the migrations on the connection that `state.database` hands over."""

from alembic import context

from state.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
