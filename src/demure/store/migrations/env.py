"""Run by Alembic, with the connection that demure.store.database gives it: all steps in its one transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
