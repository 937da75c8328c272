"""Keys in the store: made, revoked, and taken over from the file where they were kept before."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select

from demure.errors import InvalidSetting
from demure.keys import make_key
from demure.store.keys import Keys
from demure.store.schema import api_keys, audit


@pytest.fixture
def keys(database):
    return Keys(database)


def test_before_the_first_key_there_is_none_and_after_the_last_an_empty_list(keys):
    assert keys.read() is None
    key, _ = make_key("site", ["classify", "review"])
    keys.add(key)
    assert keys.read() == (key,)
    assert keys.revoke("site")
    assert not keys.revoke("site")
    assert keys.read() == ()


def test_a_name_is_taken_once_and_free_again_when_revoked(keys):
    keys.add(make_key("site", ["classify"])[0])
    with pytest.raises(InvalidSetting, match="'site' is taken"):
        keys.add(make_key("site", ["classify"])[0])
    keys.revoke("site")
    again, _ = make_key("site", ["metrics"])
    keys.add(again)
    assert keys.read() == (again,)


def test_only_hashes_are_kept_and_who_made_a_key_is_written_down(keys, database):
    key, secret = make_key("site", ["classify"])
    keys.add(key)
    row = database.read(lambda c: c.execute(select(api_keys)).one())
    assert row.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(row)
    assert database.read(lambda c: c.execute(select(audit.c.action, audit.c.target)).all()) == [
        ("key.created", "key:site")
    ]


def test_the_file_of_before_is_taken_in_once(keys, tmp_path):
    file = tmp_path / "keys.txt"
    old, _ = make_key("old", ["classify"])
    file.write_text(f"{old}\n")
    keys.take_in(file)
    assert keys.read() == (old,)
    assert not file.exists()
    assert (tmp_path / "keys.moved").read_text() == f"{old}\n"
    keys.take_in(file)  # there is none any more
    keys.revoke("old")
    file.write_text(f"{old}\n")
    keys.take_in(file)  # what was revoked here does not come back with a copy of the file
    assert keys.read() == ()


def test_a_file_without_keys_still_asks_for_one(keys, tmp_path):
    """All of them had been revoked."""
    (tmp_path / "keys.txt").write_text("")
    keys.take_in(tmp_path / "keys.txt")
    assert keys.read() == ()


@pytest.mark.parametrize("content", [b"hello", b"\xff\xfe"], ids=["another-form", "no-text"])
def test_a_file_that_does_not_hold_is_refused_and_stays(keys, tmp_path, content: bytes):
    file = tmp_path / "keys.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidSetting, match="keys.txt"):
        keys.take_in(file)
    assert file.exists()
    assert keys.read() is None
