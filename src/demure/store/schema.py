"""The tables, as they are after the last migration. Times are milliseconds since 1970, UTC; hashes are plain bytes.

What goes when is said in retention.py. Nothing of an image is here but hashes, scores and decisions, unless it went to review.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

DAY_MS = 86_400_000

# SQLite counts rows only by a column that it calls INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")

api_keys = Table(
    "api_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("scopes", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),  # the row stays: to revoke the last key must not open the door
)

# The machine's last decision on each image.
images = Table(
    "images",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("score", Float),
    Column("scores", JSON(none_as_null=True)),
    Column("witnesses", JSON(none_as_null=True)),
    Column("media", JSON(none_as_null=True)),
    Column("model", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("decided_ms", BigInteger, nullable=False, index=True),
    Column(
        "tally", BigInteger
    ),  # the row that it was counted in, when it was first sent for review; None: it never was
)

# How many images were sent for review, and how many of them went there: what rates are reckoned from. Of each image the first
# time that it came; nothing here tells which they were.
tallies = Table(
    "tallies",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("day", Integer, nullable=False),  # since 1970, UTC
    Column("model", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("chance", Float, nullable=False),  # of each to be chosen
    Column("bin", SmallInteger, nullable=False),  # of the score: drift.bin_of
    Column("images", Integer, nullable=False),
    Column("chosen", Integer, nullable=False),
    UniqueConstraint("day", "model", "policy", "policy_version", "decision", "chance", "bin"),
    sqlite_autoincrement=True,  # an image or a review may name a row that was swept: its id must not be given away again
)

# One row, once it was needed: by what spot checks are drawn.
seeds = Table(
    "seeds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seed", LargeBinary, nullable=False),
)

# Who sent an image, by the site's own names. Only of images that went to review, or whose subject was told.
submissions = Table(
    "submissions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("sha256", LargeBinary, nullable=False),
    Column("caller_id", Text, nullable=False),  # "" where none was given
    Column("subject", Text, nullable=False, index=True),  # whose image it is; "" where it was not told
    Column("details", JSON(none_as_null=True)),  # the caller's metadata
    Column("sent_ms", BigInteger, nullable=False, index=True),
    UniqueConstraint("sha256", "caller_id", "subject"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", LargeBinary, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rank", SmallInteger, nullable=False),  # 0 before 1: appeals come first
    Column("priority", Float, nullable=False),  # the caller's number; higher comes first
    Column("place", Float, nullable=False, server_default=text("0")),  # by risk: the score, but for spot checks
    Column("chance", Float),  # with which it came before a person; None where somebody asked for that
    Column("tally", BigInteger),  # the row that it was counted in; with the chance, or not at all
    Column("opened_ms", BigInteger, nullable=False, index=True),
    Column("note", Text),  # of who reports or appeals
    Column("claimed_by", Text),
    Column("claimed_until_ms", BigInteger),
    # What the machine thought.
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("scores", JSON(none_as_null=True)),
    Column("witnesses", JSON(none_as_null=True)),
    Column("media", JSON(none_as_null=True)),
    Column("model", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("pdq", LargeBinary),  # where near copies can be found by it
    Column("pictures", SmallInteger),  # that were judged of it: the scores are those of one
    # What a person thought.
    Column("verdict", Text),
    Column("verdict_by", Text),
    Column("verdict_ms", BigInteger, index=True),
    Column("verdict_note", Text),
    Column("replaced", JSON(none_as_null=True)),  # what the memory said before, for an undo or a release
)
# One image stands in the queue once, however often it is sent.
Index(
    "one_review_an_image",
    reviews.c.sha256,
    unique=True,
    sqlite_where=text("state IN ('open', 'escalated')"),
    postgresql_where=text("state IN ('open', 'escalated')"),
)
# The next item is the first of an index, however many wait.
Index("queue_by_age", reviews.c.state, reviews.c.rank, reviews.c.opened_ms, reviews.c.id)
Index("queue_by_risk", reviews.c.state, reviews.c.rank, reviews.c.place.desc(), reviews.c.opened_ms, reviews.c.id)
Index(
    "queue_by_priority", reviews.c.state, reviews.c.rank, reviews.c.priority.desc(), reviews.c.opened_ms, reviews.c.id
)

# What people said of those who were counted together is read from the index alone.
Index("reviews_by_tally", reviews.c.tally, reviews.c.state, reviews.c.verdict)

skips = Table(
    "skips",
    metadata,
    Column("review_id", Text, primary_key=True),
    Column("reviewer", Text, primary_key=True),
)

previews = Table(
    "previews",
    metadata,
    Column("review_id", Text, primary_key=True),
    Column("number", SmallInteger, primary_key=True),  # 0 is the worst frame, the others follow as they lie in the file
    Column("frame", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("delete_ms", BigInteger, index=True),  # None for a review that is frozen
)

# The memory: what people decided, by hash.
hashes = Table(
    "hashes",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("kind", Text, nullable=False),  # sha256 or pdq
    Column("hash", LargeBinary, nullable=False),
    Column("verdict", Text),  # None: withdrawn
    Column("review_id", Text, index=True),  # None: imported
    Column("decided_by", Text, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("change", BigInteger, nullable=False, index=True),  # counts up with every change, for those who keep a copy
    UniqueConstraint("kind", "hash"),
)

Index(
    "withdrawn_hashes",
    hashes.c.decided_ms,
    sqlite_where=hashes.c.verdict.is_(None),
    postgresql_where=hashes.c.verdict.is_(None),
)

# Numbers that are taken in the order in which transactions end, for those who read what is new: a sequence's are not.
counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("data", JSON, nullable=False),
)

# The outbox: an event on its way to one endpoint.
deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint", Text, primary_key=True),
    Column("state", Text, nullable=False),  # waiting, delivered or dead
    Column("attempts", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),  # also the end of the lease of who is sending it
    Column("failure", Text),
)
Index("next_delivery", deliveries.c.state, deliveries.c.next_ms)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("details", Text, nullable=False),  # JSON as it was hashed
    Column("hash", Text, nullable=False),  # of all that is in the row, and of the hash before it
)

# One row: where the chain ends, and where what is left of it begins.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("swept_seq", BigInteger, nullable=False),
    Column("swept_hash", Text, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("deleted_ms", BigInteger, nullable=False),
    Column("deleted_by", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password", Text),  # argon2id; None until it was set by the link
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
    Column("failures", Integer, nullable=False),  # wrong passwords in a row
    Column("failed_ms", BigInteger),
    Column("preferences", JSON, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token", Text, primary_key=True),  # its SHA-256
    Column("user", Text, nullable=False, index=True),
    Column("csrf", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

# Links that set a password, once.
invitations = Table(
    "invitations",
    metadata,
    Column("token", Text, primary_key=True),  # its SHA-256
    Column("user", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

__all__ = [
    "DAY_MS",
    "api_keys",
    "audit",
    "audit_head",
    "counters",
    "deliveries",
    "events",
    "hashes",
    "images",
    "invitations",
    "metadata",
    "previews",
    "reviews",
    "seeds",
    "sessions",
    "skips",
    "submissions",
    "tallies",
    "tombstones",
    "users",
]
