"""What the review page tells its script of an item, and the record of who did what."""

from __future__ import annotations

import re

from review_desk import House

from demure.store.schema import audit


def id_and_version(html: str) -> tuple[str, int]:
    found = re.search(r'data-id="([0-9a-f]+)" data-version="(\d+)"', html)
    assert found, html
    return found[1], int(found[2])


def actions(house: House) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in house.desk.database.read(lambda c: c.execute(audit.select().order_by(audit.c.seq)).all())
        for row in [(row.actor, row.action)]
    ]
