"""What belongs together, where a project is in Harbor's portal, and when a chat had its last digest."""

import sqlalchemy as sa
from alembic import op

import state.schema

revision = "0004"
down_revision = "0003"

Id = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.add_column('deliveries', sa.Column('follows', Id, nullable=True))
    op.create_index('ix_deliveries_follows', 'deliveries', ['follows'], unique=False)
    op.add_column('known_projects', sa.Column('project_id', sa.BigInteger(), nullable=True))
    op.add_column('routes', sa.Column('digest_at', state.schema.UtcTime(timezone=True), nullable=True))
    op.create_table('threads',
    sa.Column('harbor_id', Id, nullable=False),
    sa.Column('about', sa.Text(), nullable=False),
    sa.Column('group', sa.String(length=900), nullable=False),
    sa.Column('began_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('last_at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.Column('members', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_threads_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'about', name=op.f('pk_threads'))
    )
    op.create_table('known_accessories',
    sa.Column('harbor_id', Id, nullable=False),
    sa.Column('repository', sa.String(length=512), nullable=False),
    sa.Column('digest', sa.String(length=160), nullable=False),
    sa.Column('subject', sa.String(length=160), nullable=False),
    sa.Column('kind', sa.String(length=100), nullable=False),
    sa.Column('at', state.schema.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['harbor_id'], ['harbors.id'], name=op.f('fk_known_accessories_harbor_id')),
    sa.PrimaryKeyConstraint('harbor_id', 'repository', 'digest', name=op.f('pk_known_accessories'))
    )
    op.create_index('ix_known_accessories_subject', 'known_accessories', ['harbor_id', 'repository', 'subject'])
