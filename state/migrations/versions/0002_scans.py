"""What is known of scan results, what is told together, and how far the sweep has come."""

import sqlalchemy as sa
from alembic import op

import state.schema

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column('events', sa.Column('scan_details', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('harbors', sa.Column('allowance', sa.Float(), nullable=True))
    op.add_column('harbors', sa.Column('allowance_at', state.schema.UtcTime(timezone=True), nullable=True))
    op.add_column('known_tags', sa.Column('previous', sa.String(length=160), nullable=True))
    op.add_column('deliveries', sa.Column('group', sa.String(length=900), nullable=True))
    op.add_column('deliveries', sa.Column('held_until', state.schema.UtcTime(timezone=True), nullable=True))
    op.create_index('ix_deliveries_group', 'deliveries', ['route', 'group'], unique=False)
    with op.batch_alter_table('scans') as batch:
        batch.alter_column('robot', type_=sa.Text(), existing_nullable=False)
    op.add_column('scans', sa.Column('list_digest', sa.String(length=160), nullable=True))
    is_list = sa.text('list_digest IS NOT NULL')
    op.create_index('ix_scans_list_digest', 'scans', ['harbor_id', 'list_digest'], unique=False, sqlite_where=is_list, postgresql_where=is_list)
    op.drop_index('ix_scans_look_at', 'scans')
    is_explained, is_unexplained = sa.text('repository IS NOT NULL'), sa.text('repository IS NULL')
    op.create_index('ix_scans_look_at', 'scans', ['harbor_id', 'outcome', 'look_at'], unique=False, sqlite_where=is_explained, postgresql_where=is_explained)
    op.create_index('ix_scans_unexplained', 'scans', ['harbor_id', 'ended_at'], unique=False, sqlite_where=is_unexplained, postgresql_where=is_unexplained)
    op.create_index('ix_scans_digest', 'scans', ['harbor_id', 'digest', 'outcome'], unique=False)
    op.create_table('known_reports',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('digest', sa.String(length=160), nullable=False),
    sa.Column('scanner', sa.String(length=200), nullable=False),
    sa.Column('report_id', sa.String(length=200), nullable=False),
    sa.Column('ended_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('seen_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('counts', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('findings', sa.JSON(none_as_null=True), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_known_reports_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'digest', 'scanner', name=op.f('pk_known_reports'))
    )
    op.create_table('known_platforms',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('repository', sa.String(length=512), nullable=False),
    sa.Column('digest', sa.String(length=160), nullable=False),
    sa.Column('index_digest', sa.String(length=160), nullable=False),
    sa.Column('platform', sa.String(length=100), nullable=False),
    sa.Column('at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_known_platforms_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'repository', 'digest', name=op.f('pk_known_platforms'))
    )
    op.create_index('ix_known_platforms_index', 'known_platforms', ['harbor_id', 'repository', 'index_digest'], unique=False)
    op.create_table('waves',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('group', sa.String(length=900), nullable=False),
    sa.Column('began_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('grew_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('members', sa.Integer(), nullable=False),
    sa.Column('singles', sa.Integer(), nullable=False),
    sa.Column('asked_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_waves_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', name=op.f('pk_waves'))
    )
    op.create_table('sweeps',
    sa.Column('harbor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('baseline_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('paid_until', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('looked_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('changed_since', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('round_began_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('round_before_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('repository_id', sa.BigInteger(), nullable=False),
    sa.Column('changed', sa.JSON(), nullable=False),
    sa.Column('ahead', sa.JSON(), nullable=False),
    sa.Column('steps', sa.Integer(), nullable=False),
    sa.Column('looks_in_vain', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_sweeps_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', name=op.f('pk_sweeps'))
    )
