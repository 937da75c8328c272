from __future__ import annotations

import asyncio
import hashlib

import pytest

from demure.errors import InvalidSetting, StorageUnavailable
from demure.keys import Key, Keyring, Scope, find_key, make_key, parse_keys

HASH = hashlib.sha256(b"secret").hexdigest()


def test_a_key_is_found_by_its_secret_alone():
    one, first = make_key("one", ["classify"])
    two, second = make_key("two", ["review", "metrics"])
    assert find_key([one, two], second) == two
    assert find_key([one, two], first + "x") is None
    assert find_key([], first) is None
    assert first not in str(one)
    assert two.may(Scope.REVIEW)
    assert not two.may(Scope.CLASSIFY)


def test_secrets_differ_and_are_long():
    secrets = {make_key("k", ["classify"])[1] for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret) >= 50 for secret in secrets)


@pytest.mark.parametrize("separator", [" ", "\n", ";", " ;\n ", "; "])
def test_several_entries_stand_apart_by_space_or_semicolon(separator: str):
    keys = parse_keys(separator.join([f"a:classify:{HASH}", f"b:classify,review:{HASH}"]), "x")
    assert [key.name for key in keys] == ["a", "b"]
    assert keys[1].scopes == {Scope.CLASSIFY, Scope.REVIEW}
    assert find_key(keys, "secret") == keys[1]


def test_admin_may_everything():
    (key,) = parse_keys(f"root:admin:{HASH}", "x")
    assert all(key.may(scope) for scope in Scope)


@pytest.mark.parametrize(
    "entry",
    [
        "demure_secretsecretsecret",
        f"a::{HASH}",
        f"a:fly:{HASH}",
        f"a:classify:{HASH[:-1]}",
        f"a:classify:{HASH.upper()}",
        f":classify:{HASH}",
        f"a b:classify:{HASH}",
    ],
)
def test_a_broken_entry_is_refused_without_showing_it(entry: str):
    with pytest.raises(InvalidSetting, match="name:scopes:sha256hex") as caught:
        parse_keys(entry, "DEMURE_API_KEYS")
    assert entry not in caught.value.message


class Shelf:
    """The keys of a store, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: tuple[Key, ...] | None = None
        self.asked = 0

    async def read(self) -> tuple[Key, ...] | None:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.keys


def test_a_keyring_asks_the_store_once_a_second_however_many_ask_it():
    shelf, now = Shelf(), [0.0]
    keyring = Keyring((), shelf.read, clock=lambda: now[0])
    (key,) = parse_keys(f"a:classify:{HASH}", "x")

    async def ask() -> list[object]:
        return await asyncio.gather(*(keyring.keys() for _ in range(50)))

    with asyncio.Runner() as runner:
        assert runner.run(ask()) == [None] * 50
        shelf.keys = (key,)
        now[0] = 0.99
        assert runner.run(ask()) == [None] * 50
        assert shelf.asked == 1
        now[0] = 1.0
        assert runner.run(ask()) == [(key,)] * 50
        assert shelf.asked == 2


def test_who_needs_the_newest_keys_may_have_them_sooner():
    shelf, now = Shelf(), [0.0]
    keyring = Keyring((), shelf.read, clock=lambda: now[0])
    (key,) = parse_keys(f"a:classify:{HASH}", "x")
    with asyncio.Runner() as runner:
        assert runner.run(keyring.keys()) is None
        shelf.keys = (key,)
        now[0] = 0.09
        assert runner.run(keyring.keys(0.1)) is None
        now[0] = 0.1
        assert runner.run(keyring.keys()) is None
        assert runner.run(keyring.keys(0.1)) == (key,)
        assert shelf.asked == 2


def test_a_store_whose_last_key_was_revoked_still_asks_for_one():
    shelf = Shelf()
    shelf.keys = ()
    assert asyncio.run(Keyring((), shelf.read).keys()) == ()


def test_keys_of_the_environment_count_beside_those_of_the_store():
    shelf = Shelf()
    one, other = parse_keys(f"a:classify:{HASH} b:review:{HASH}", "x")
    assert asyncio.run(Keyring((one,), shelf.read).keys()) == (one,)
    shelf.keys = (other,)
    assert asyncio.run(Keyring((one,), shelf.read).keys()) == (one, other)


def test_a_store_that_is_away_keeps_the_keys_that_it_had_and_opens_no_door():
    shelf, now = Shelf(), [0.0]
    (key,) = parse_keys(f"a:classify:{HASH}", "x")
    shelf.keys = (key,)

    async def read() -> tuple[Key, ...] | None:
        if now[0] > 5:
            raise StorageUnavailable("away")
        return await shelf.read()

    with asyncio.Runner() as runner:
        keyring = Keyring((), read, clock=lambda: now[0])
        assert runner.run(keyring.keys()) == (key,)
        now[0] = 10.0
        assert runner.run(keyring.keys()) == (key,)
        with pytest.raises(StorageUnavailable):
            runner.run(Keyring((), read, clock=lambda: now[0]).keys())
