"""The audit log is written with what it tells of, each record chained to the one before."""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from demure.store.audit import append
from demure.store.schema import audit, audit_head


def test_the_first_hash_is_the_one_computed_by_hand(database, clock):
    database.write(lambda c: append(c, clock(), "user:anna", "viewed", "review:1", number=0))
    covered = f'["{"0" * 64}", 1, {clock()}, "user:anna", "viewed", "review:1", "{{\\"number\\":0}}"]'
    row = database.read(lambda c: c.execute(select(audit)).one())
    assert (row.seq, row.details) == (1, '{"number":0}')
    assert row.hash == hashlib.sha256(covered.encode()).hexdigest()
    assert database.read(lambda c: c.execute(select(audit_head.c.seq, audit_head.c.hash)).one()) == (1, row.hash)
