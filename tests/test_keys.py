from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from demure.errors import InvalidSetting
from demure.keys import KeyFile, Scope, find_key, make_key, parse_keys

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


def test_the_file_is_its_owners_alone(tmp_path: Path):
    file = KeyFile(tmp_path / "data" / "keys.txt")
    assert file.keys() == ()
    key, _ = make_key("site", ["classify"])
    file.add(key)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert KeyFile(file.path).keys() == (key,)


def test_a_name_is_taken_once_and_free_again_when_revoked(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.txt")
    file.add(make_key("site", ["classify"])[0])
    with pytest.raises(InvalidSetting, match="'site' is taken"):
        file.add(make_key("site", ["classify"])[0])
    assert file.remove("site")
    assert not file.remove("site")
    assert file.keys() == ()


def test_a_file_that_does_not_hold_is_refused(tmp_path: Path):
    path = tmp_path / "keys.txt"
    path.write_text("hello")
    with pytest.raises(InvalidSetting, match="keys.txt"):
        KeyFile(path).keys()
