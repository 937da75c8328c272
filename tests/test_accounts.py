"""Names, passwords and tokens: what is taken, what is kept, and what it costs."""

from __future__ import annotations

import hashlib
import statistics
import string
import time

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from demure.accounts import (
    FREE_FAILURES,
    Passwords,
    Role,
    Session,
    Unacceptable,
    check_name,
    check_password,
    make_token,
    wait_s,
)

GOOD = "four words of sense"


@pytest.fixture
def cheap() -> Passwords:
    return Passwords(memory_kib=8, passes=1)


def test_a_password_is_kept_as_argon2id_with_owasps_parameters():
    kept = Passwords().hash(GOOD)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(kept, GOOD)
    assert GOOD not in kept


def test_the_same_password_is_kept_otherwise_each_time(cheap):
    assert cheap.hash(GOOD) != cheap.hash(GOOD)


@pytest.mark.parametrize(("length", "taken"), [(0, False), (11, False), (12, True), (1024, True), (1025, False)])
def test_a_passwords_length_is_all_that_is_asked(cheap, length: int, taken: bool):
    password = "a" * length
    if taken:
        assert check_password(password) == password
        assert cheap.verify(cheap.hash(password), password).right
    else:
        with pytest.raises(Unacceptable, match=f"12 to 1024 characters; this one has {length}"):
            cheap.hash(password)


def test_every_character_of_the_longest_password_counts(cheap):
    kept = cheap.hash("a" * 1024)
    assert not cheap.verify(kept, "a" * 1023 + "b").right
    assert not cheap.verify(kept, "a" * 1025).right


@pytest.mark.parametrize("password", ["correct horse\0battery", "пароль из слов", "🔑" * 12, "\ud800" * 12, " " * 12])
def test_any_character_may_be_in_a_password(cheap, password: str):
    kept = cheap.hash(password)
    assert cheap.verify(kept, password).right
    assert not cheap.verify(kept, password[:-1]).right


@pytest.mark.parametrize(
    ("chosen", "typed"),
    [
        ("caf\u00e9 au lait noir", "cafe\u0301 au lait noir"),  # composed or not
        ("passwordsAndMore", "".join(chr(ord(c) + 0xFEE0) for c in "passwordsAndMore")),  # full-width forms
        ("non breaking space", "non\u00a0breaking space"),
    ],
)
def test_another_keyboard_types_the_same_password(cheap, chosen: str, typed: str):
    assert chosen != typed
    assert cheap.verify(cheap.hash(chosen), typed).right


@pytest.mark.parametrize("typed", [GOOD.upper(), GOOD + " ", " " + GOOD, GOOD[:-1], ""])
def test_nothing_else_is_the_same_password(cheap, typed: str):
    assert not cheap.verify(cheap.hash(GOOD), typed).right


def test_a_password_under_old_parameters_is_hashed_anew(cheap):
    kept = cheap.hash(GOOD)
    assert cheap.verify(kept, GOOD).rehashed is None
    stronger = Passwords(memory_kib=16, passes=2)
    rehashed = stronger.verify(kept, GOOD).rehashed
    assert rehashed.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert stronger.verify(rehashed, GOOD).right
    assert stronger.verify(kept, "wrong words of sense").rehashed is None


@pytest.mark.parametrize("kept", ["", "plain", "$argon2id$v=19$m=8,t=1,p=1$AAAA", "$2b$12$" + "a" * 53])
def test_what_is_no_hash_is_nobodys_password(cheap, kept: str):
    assert not cheap.verify(kept, kept).right


def test_a_name_that_is_not_there_costs_what_another_costs():
    passwords = Passwords()
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(passwords._nobodys, GOOD)
    kept = passwords.hash(GOOD)
    assert extract_parameters(passwords._nobodys) == extract_parameters(kept)
    took = {known: statistics.median(cpu_s(passwords, known) for _ in range(5)) for known in (kept, None)}
    assert 0.5 < took[None] / took[kept] < 2


def cpu_s(passwords: Passwords, kept: str | None) -> float:
    started = time.thread_time()
    assert not passwords.verify(kept, "wrong words of sense").right
    return time.thread_time() - started


class AcceptsAll(PasswordHasher):
    def verify(self, hash, password) -> bool:
        return True


def test_nobody_has_a_password_even_if_it_were_found():
    passwords = Passwords(memory_kib=8, passes=1)
    passwords._hasher = AcceptsAll()
    assert not passwords.verify(None, GOOD).right


@pytest.mark.parametrize("name", ["a", "Anna.B-2_c", "a" * 64, "..."])
def test_a_name_that_is_taken(name: str):
    assert check_name(name) == name


OTHERS = sorted({*string.punctuation} - {*"._-"})


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a\n", "ä", "<b>", "a\0", "\u0430nna", *OTHERS], ids=repr)
def test_a_name_that_would_have_to_be_escaped_is_refused(name: str):
    with pytest.raises(Unacceptable, match="1 to 64 of A-Z"):
        check_name(name)


def test_a_token_is_256_bits_of_which_only_a_hash_is_kept():
    (first, kept), (second, _) = make_token(), make_token()
    assert first != second
    assert len(first) == 43  # of base64, 6 bits each
    assert kept == hashlib.sha256(first.encode()).hexdigest()


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (8, 240), (9, 480), (10, 900), (11, 900), (10**6, 900)],
)
def test_the_wait_doubles_up_to_a_quarter_of_an_hour(failures: int, seconds: int):
    assert FREE_FAILURES == 5
    assert wait_s(failures) == seconds


def test_an_admins_acts_are_an_admins():
    for role in Role:
        session = Session("anna", role, "secret", {})
        assert session.is_admin is session.actor.is_admin is (role == "admin")
        assert str(session.actor) == "user:anna"
