"""An event of a log's row is known by the row, not by a text of its own; indexes hold what is looked for by them."""

import sqlalchemy as sa
from alembic import op

import state.schema

revision = "0005"
down_revision = "0004"

Id = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
Time = state.schema.UtcTime(timezone=True)
IS_ROW = "source IN ('audit_log', 'audit_log_ext')"
PARTIAL = {
    'ix_deliveries_group': (['route', 'group'], '"group" IS NOT NULL'),
    'ix_deliveries_follows': (['follows'], 'follows IS NOT NULL'),
    'ix_deliveries_pending': (['route', 'id'], "state = 'pending'"),
    'ix_deliveries_finished': (['chat_id', 'finished_at'], 'chat_id IS NOT NULL'),
}


def upgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        _rebuild()
    else:
        _alter()
    _index()


def _rebuild() -> None:
    """SQLite changes no columns. Deliveries first: without the events they lean on, they would be deleted, too.

    What leans on nothing, since somebody deleted by hand where foreign keys are off, stays behind.
    """
    _make_events('events_new')
    _make_deliveries('deliveries_new', 'events_new')
    events, deliveries = _columns('events'), _columns('deliveries')
    narrow = [f"CASE WHEN {IS_ROW} THEN NULL ELSE key END" if name == 'key'
              else f"CASE WHEN {IS_ROW} THEN source_id END" if name == 'source_id' else name for name in events]
    op.execute(f"INSERT INTO events_new ({', '.join(events)}) SELECT {', '.join(narrow)} FROM events "
               "WHERE harbor_id IN (SELECT id FROM harbors) ORDER BY id")
    names = ', '.join(deliveries)
    op.execute(f"INSERT INTO deliveries_new ({names}) SELECT {names} FROM deliveries "
               "WHERE event_id IN (SELECT id FROM events_new) ORDER BY id")
    for table in ('deliveries', 'events'):
        op.drop_table(table)
    for table in ('events', 'deliveries'):
        op.rename_table(f'{table}_new', table)


def _alter() -> None:
    op.drop_constraint('uq_events_harbor_id_key', 'events', type_='unique')
    op.drop_index('ix_events_recent_rows', 'events')
    op.drop_index('ix_events_occurred_at', 'events')
    for name in PARTIAL:
        op.drop_index(name, 'deliveries')
    for column in ('key', 'source_id'):
        op.alter_column('events', column, nullable=True)
    op.execute(f"UPDATE events SET key = NULL WHERE {IS_ROW}")
    op.execute(f"UPDATE events SET source_id = NULL WHERE NOT {IS_ROW}")


def _index() -> None:
    op.create_index('uq_events_key', 'events', ['harbor_id', 'key'], unique=True,
                    sqlite_where=sa.text('key IS NOT NULL'), postgresql_where=sa.text('key IS NOT NULL'))
    op.create_index('uq_events_row', 'events', ['harbor_id', 'source', 'source_id', 'occurred_at'], unique=True)
    op.create_index('ix_events_occurred_at', 'events', ['harbor_id', 'occurred_at'])
    op.create_index('ix_known_tags_digest', 'known_tags', ['harbor_id', 'repository', 'digest'])
    for name, (columns, where) in PARTIAL.items():
        op.create_index(name, 'deliveries', columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _columns(table: str) -> list[str]:
    return [f'"{column["name"]}"' if column["name"] == 'group' else column["name"]
            for column in sa.inspect(op.get_bind()).get_columns(table)]


def _make_events(name: str) -> None:
    op.create_table(name,
    sa.Column('id', Id, nullable=False),
    sa.Column('harbor_id', Id, nullable=False),
    sa.Column('key', sa.String(length=700), nullable=True),
    sa.Column('type', sa.String(length=40), nullable=False),
    sa.Column('occurred_at', Time, nullable=False),
    sa.Column('seen_at', Time, nullable=False),
    sa.Column('source', sa.String(length=20), nullable=False),
    sa.Column('source_id', sa.BigInteger(), nullable=True),
    sa.Column('operator', sa.Text(), nullable=False),
    sa.Column('repository', sa.Text(), nullable=True),
    sa.Column('is_public', sa.Boolean(), nullable=True),
    sa.Column('repository_created_at', Time, nullable=True),
    sa.Column('tag', sa.Text(), nullable=True),
    sa.Column('digest', sa.Text(), nullable=True),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('scan_type', sa.String(length=40), nullable=True),
    sa.Column('scan_overview', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('scan_details', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('coverage', sa.JSON(none_as_null=True), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_events_harbor_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_events'))
    )


def _make_deliveries(name: str, events: str) -> None:
    op.create_table(name,
    sa.Column('id', Id, nullable=False),
    sa.Column('event_id', Id, nullable=False),
    sa.Column('route', sa.String(length=60), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('mode', sa.String(length=10), server_default='auto', nullable=False),
    sa.Column('since', Time, nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('finished_at', Time, nullable=True),
    sa.Column('chat_id', sa.String(length=80), nullable=True),
    sa.Column('message_id', sa.BigInteger(), nullable=True),
    sa.Column('group', sa.String(length=900), nullable=True),
    sa.Column('held_until', Time, nullable=True),
    sa.Column('follows', Id, nullable=True),
    sa.ForeignKeyConstraint(['event_id'], [f'{events}.id'], name=op.f('fk_deliveries_event_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_deliveries')),
    sa.UniqueConstraint('event_id', 'route', name=op.f('uq_deliveries_event_id_route'))
    )
