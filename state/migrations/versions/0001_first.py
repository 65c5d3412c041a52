"""The first schema."""

import sqlalchemy as sa
from alembic import op

import state.schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table('harbors',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('url', sa.String(length=1024), nullable=False),
    sa.Column('registry', sa.String(length=512), server_default='', nullable=False),
    sa.Column('detected', sa.JSON(), nullable=True),
    sa.Column('detected_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_harbors')),
    sa.UniqueConstraint('url', name=op.f('uq_harbors_url'))
    )
    op.create_table('leases',
    sa.Column('name', sa.String(length=60), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('acquired_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('expires_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_leases'))
    )
    op.create_table('routes',
    sa.Column('name', sa.String(length=60), nullable=False),
    sa.Column('chat_id', sa.String(length=80), nullable=False),
    sa.Column('thread_id', sa.BigInteger(), nullable=True),
    sa.Column('moved_to', sa.BigInteger(), nullable=True),
    sa.Column('topic_lost', sa.Boolean(), server_default=sa.text('(false)'), nullable=False),
    sa.Column('blocked_until', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('needs_operator', sa.Boolean(), server_default=sa.text('(false)'), nullable=False),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('failures', sa.Integer(), server_default='0', nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_routes'))
    )
    op.create_table('cursors',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('log', sa.String(length=300), nullable=False),
    sa.Column('row_id', sa.BigInteger(), nullable=False),
    sa.Column('op_time', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('floor_id', sa.BigInteger(), nullable=False),
    sa.Column('polled_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('created_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_cursors_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'log', name=op.f('pk_cursors'))
    )
    op.create_table('events',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('key', sa.String(length=700), nullable=False),
    sa.Column('type', sa.String(length=40), nullable=False),
    sa.Column('occurred_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('seen_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('source', sa.String(length=20), nullable=False),
    sa.Column('source_id', sa.BigInteger(), nullable=False),
    sa.Column('operator', sa.Text(), nullable=False),
    sa.Column('repository', sa.Text(), nullable=True),
    sa.Column('is_public', sa.Boolean(), nullable=True),
    sa.Column('repository_created_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('tag', sa.Text(), nullable=True),
    sa.Column('digest', sa.Text(), nullable=True),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('scan_type', sa.String(length=40), nullable=True),
    sa.Column('scan_overview', sa.JSON(none_as_null=True), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_events_harbor_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_events')),
    sa.UniqueConstraint('harbor_id', 'key', name=op.f('uq_events_harbor_id_key'))
    )
    op.create_index('ix_events_occurred_at', 'events', ['harbor_id', 'occurred_at'], unique=False)
    op.create_index('ix_events_recent_rows', 'events', ['harbor_id', 'source', 'source_id'], unique=False)
    op.create_table('known_projects',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('name', sa.String(length=300), nullable=False),
    sa.Column('is_public', sa.Boolean(), nullable=True),
    sa.Column('checked_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_known_projects_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'name', name=op.f('pk_known_projects'))
    )
    op.create_table('known_repositories',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('name', sa.String(length=512), nullable=False),
    sa.Column('created_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('deleted_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_known_repositories_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'name', name=op.f('pk_known_repositories'))
    )
    op.create_table('known_tags',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('repository', sa.String(length=512), nullable=False),
    sa.Column('tag', sa.String(length=256), nullable=False),
    sa.Column('digest', sa.String(length=160), nullable=True),
    sa.Column('at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_known_tags_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'repository', 'tag', name=op.f('pk_known_tags'))
    )
    op.create_table('polls',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('log', sa.Text(), nullable=False),
    sa.Column('covered_from', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('covered_to', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('polls', sa.Integer(), server_default='1', nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('new', sa.Integer(), nullable=False),
    sa.Column('duration_ms', sa.Integer(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_polls_harbor_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_polls'))
    )
    op.create_index('ix_polls_log', 'polls', ['harbor_id', 'log', 'covered_from'], unique=False)
    op.create_table('scans',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('robot', sa.String(length=300), nullable=False),
    sa.Column('repository', sa.Text(), nullable=True),
    sa.Column('digest', sa.String(length=160), nullable=True),
    sa.Column('started_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('ended_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('asked_by', sa.Text(), nullable=True),
    sa.Column('looks', sa.Integer(), server_default='0', nullable=False),
    sa.Column('look_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.String(length=20), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_scans_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'robot', name=op.f('pk_scans'))
    )
    op.create_index('ix_scans_look_at', 'scans', ['harbor_id', 'outcome', 'look_at'], unique=False)
    op.create_table('deliveries',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('event_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('route', sa.String(length=60), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('mode', sa.String(length=10), server_default='auto', nullable=False),
    sa.Column('since', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('finished_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('chat_id', sa.String(length=80), nullable=True),
    sa.Column('message_id', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['event_id'], ['events.id'], name=op.f('fk_deliveries_event_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_deliveries')),
    sa.UniqueConstraint('event_id', 'route', name=op.f('uq_deliveries_event_id_route'))
    )
    op.create_index('ix_deliveries_finished', 'deliveries', ['chat_id', 'finished_at'], unique=False)
    op.create_index('ix_deliveries_pending', 'deliveries', ['route', 'id'], unique=False, sqlite_where=sa.text("state = 'pending'"), postgresql_where=sa.text("state = 'pending'"))
