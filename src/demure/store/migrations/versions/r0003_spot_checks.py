"""Decisions that are put before people by lot, and what is counted so that their verdicts say something of all."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "seeds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tallies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("chance", sa.Float(), nullable=False),
        sa.Column("bin", sa.SmallInteger(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("chosen", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("day", "model", "policy", "policy_version", "decision", "chance", "bin"),
        sqlite_autoincrement=True,
    )
    op.add_column("images", sa.Column("tally", sa.BigInteger(), nullable=True))
    op.add_column("reviews", sa.Column("place", sa.Float(), nullable=False, server_default=sa.text("0")))
    op.add_column("reviews", sa.Column("chance", sa.Float(), nullable=True))
    op.add_column("reviews", sa.Column("tally", sa.BigInteger(), nullable=True))
    op.add_column("reviews", sa.Column("pictures", sa.SmallInteger(), nullable=True))
    op.execute("UPDATE reviews SET place = score")
    op.create_index("reviews_by_tally", "reviews", ["tally", "state", "verdict"])
    op.drop_index("queue_by_risk", "reviews")
    op.create_index("queue_by_risk", "reviews", ["state", "rank", sa.text("place DESC"), "opened_ms", "id"])
