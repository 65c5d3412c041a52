"""What could not be seen, which rows were forgotten, who may write, and which messages went without an answer."""

import sqlalchemy as sa
from alembic import op

import state.schema

revision = "0003"
down_revision = "0002"

Id = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.add_column('harbors', sa.Column('pruned_before', state.schema.UtcTime(timezone=True), nullable=True))
    op.add_column('harbors', sa.Column('registry_seen', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('events', sa.Column('coverage', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('leases', sa.Column('epoch', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('leases', sa.Column('beats', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('cursors', sa.Column('floor_at', state.schema.UtcTime(timezone=True), nullable=True))
    op.add_column('routes', sa.Column('blocked_at', state.schema.UtcTime(timezone=True), nullable=True))
    op.create_table('gaps',
    sa.Column('id', Id, nullable=False),
    sa.Column('harbor_id', Id, nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('reason', sa.String(length=40), nullable=False),
    sa.Column('began_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('ended_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('noticed_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('rows', sa.BigInteger(), nullable=True),
    sa.Column('closed_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.Column('told_at', state.schema.UtcTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_gaps_harbor_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_gaps'))
    )
    op.create_index('ix_gaps_began_at', 'gaps', ['harbor_id', 'began_at'], unique=False)
    op.create_table('pruned_rows',
    sa.Column('harbor_id', Id, nullable=False),
    sa.Column('source', sa.String(length=20), nullable=False),
    sa.Column('block', sa.BigInteger(), nullable=False),
    sa.Column('bits', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_pruned_rows_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'source', 'block', name=op.f('pk_pruned_rows'))
    )
    op.create_table('attempts',
    sa.Column('id', Id, nullable=False),
    sa.Column('chat_id', sa.String(length=80), nullable=False),
    sa.Column('at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_attempts'))
    )
    op.create_index('ix_attempts_chat_id_at', 'attempts', ['chat_id', 'at'], unique=False)
