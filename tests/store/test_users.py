"""Users, sessions and links, on both databases, with a clock that passes when a test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from databases import migrated
from sqlalchemy import insert, select, update

from demure.accounts import Passwords, Role, SessionLimits, Unacceptable, User
from demure.errors import Conflict, DemureError, NotPermitted, SourceNotFound
from demure.store.database import Database
from demure.store.schema import audit, invitations, metadata, sessions
from demure.store.schema import users as table
from demure.store.users import INVITATION_S, Users

WORDS, OTHER, WRONG = "four words of sense", "some other four words", "wrong words of sense"
HOUR, DAY = 3600, 86400


class Watched(Passwords):
    """Cheap ones, and what was looked at. `meanwhile` runs while a password is hashed or looked at."""

    def __init__(self) -> None:
        super().__init__(memory_kib=8, passes=1)
        self.looked_at: list[bool] = []  # whether a real one was
        self.meanwhile: Callable[[], object] = lambda: None

    def verify(self, kept, password):
        self.looked_at.append(kept is not None)
        self.meanwhile()
        return super().verify(kept, password)

    def hash(self, password):
        self.meanwhile()
        return super().hash(password)


@pytest.fixture
def passwords() -> Watched:
    return Watched()


@pytest.fixture
def users(database: Database, passwords: Watched) -> Users:
    return Users(database, passwords)


@pytest.fixture
def anna(users: Users) -> str:
    """An admin who can sign in, and root is another."""
    for name in ("anna", "root"):
        users.set_up(users.invite(name, Role.ADMIN, "shell"), WORDS)
    return "anna"


def refused(users: Users, name: str, password: str) -> str:
    with pytest.raises(NotPermitted) as caught:
        users.sign_in(name, password)
    return caught.value.message


def acts(database: Database) -> list[tuple[str, str, str]]:
    columns = (audit.c.actor, audit.c.action, audit.c.target)
    return [tuple(row) for row in database.read(lambda c: c.execute(select(*columns).order_by(audit.c.seq)).all())]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each gives or raises."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return call()
        except DemureError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


# Links.


def test_a_link_makes_a_user_who_signs_in(users, clock):
    token = users.invite("bob", Role.REVIEWER, "shell")
    assert users.list() == (User("bob", Role.REVIEWER, clock(), disabled=False, has_password=False),)
    assert users.invited(token) == "bob"
    assert users.set_up(token, WORDS) == User("bob", Role.REVIEWER, clock(), disabled=False, has_password=True)
    _, session = users.sign_in("bob", WORDS)
    assert (session.user, session.role, session.preferences) == ("bob", Role.REVIEWER, {})


def test_a_link_works_once(users):
    token = users.invite("bob", Role.REVIEWER, "shell")
    users.set_up(token, WORDS)
    assert users.invited(token) is None
    with pytest.raises(SourceNotFound):
        users.set_up(token, OTHER)
    users.sign_in("bob", WORDS)


def test_of_two_at_once_one_uses_the_link_up(users, passwords):
    token = users.invite("bob", Role.REVIEWER, "shell")
    passwords.meanwhile = threading.Barrier(2).wait  # both have seen that the link is good
    first, second = at_once(lambda: users.set_up(token, WORDS), lambda: users.set_up(token, OTHER))
    passwords.meanwhile = lambda: None
    assert {type(first), type(second)} == {User, SourceNotFound}
    chosen, other = (WORDS, OTHER) if isinstance(first, User) else (OTHER, WORDS)
    users.sign_in("bob", chosen)
    refused(users, "bob", other)


@pytest.mark.parametrize(("seconds", "good"), [(DAY - 1, True), (DAY, False), (DAY + 1, False)])
def test_a_link_is_good_for_a_day(users, clock, seconds, good):
    token = users.invite("bob", Role.REVIEWER, "shell")
    clock.pass_s(seconds)
    assert users.invited(token) == ("bob" if good else None)
    if good:
        users.set_up(token, WORDS)
    else:
        with pytest.raises(SourceNotFound):
            users.set_up(token, WORDS)


def test_a_link_that_ends_while_the_password_is_hashed_is_no_good(users, clock, passwords):
    token = users.invite("bob", Role.REVIEWER, "shell")
    passwords.meanwhile = lambda: clock.pass_s(DAY)
    with pytest.raises(SourceNotFound):
        users.set_up(token, WORDS)


def test_a_newer_link_voids_the_older_of_that_name_alone(users):
    old, others = users.invite("bob", Role.REVIEWER, "shell"), users.invite("eve", Role.REVIEWER, "shell")
    new = users.invite("bob", Role.REVIEWER, "shell")
    assert [users.invited(token) for token in (old, new, others)] == [None, "bob", "eve"]


def test_of_links_made_at_once_one_is_good(users):
    tokens = at_once(*[lambda: users.invite("bob", Role.REVIEWER, "shell")] * 6)
    assert [users.invited(token) for token in tokens].count("bob") == 1


def test_a_password_that_cannot_be_leaves_the_link_as_it_was(users):
    token = users.invite("bob", Role.REVIEWER, "shell")
    with pytest.raises(Unacceptable):
        users.set_up(token, "short")
    users.set_up(token, WORDS)


def test_a_link_that_is_not_good_costs_no_hashing(users, passwords):
    passwords.meanwhile = lambda: pytest.fail("hashed")
    with pytest.raises(SourceNotFound):
        users.set_up("guessed", WORDS)


def test_a_link_for_a_known_user_sets_another_password_and_ends_every_session(users, anna):
    token, _ = users.sign_in(anna, WORDS)
    link = users.reset(anna, "shell")
    assert users.session(token), "until the link is used, nothing changes"
    users.set_up(link, OTHER)
    assert users.session(token) is None
    refused(users, anna, WORDS)
    _, session = users.sign_in(anna, OTHER)
    assert session.role is Role.ADMIN, "a reset keeps the role"


def test_a_link_gives_another_role(users, anna):
    users.set_up(users.reset(anna, "shell", Role.REVIEWER), WORDS)
    assert users.sign_in(anna, WORDS)[1].role is Role.REVIEWER


@pytest.mark.parametrize("name", ["", "<script>", "a b", "a" * 65])
def test_a_name_that_needs_escaping_is_not_invited(users, name):
    with pytest.raises(Unacceptable):
        users.invite(name, Role.REVIEWER, "shell")
    assert users.list() == ()


@pytest.mark.parametrize("act", [Users.reset, Users.disable, Users.enable])
@pytest.mark.parametrize("name", ["nobody", "", "\0", "\udcff"], ids=ascii)
def test_who_is_not_there_cannot_be_acted_on(users, act, name):
    with pytest.raises(SourceNotFound, match="no user"):
        act(users, name, "shell")


# Signing in.


def test_a_session_is_found_by_its_token_alone(users, anna):
    token, session = users.sign_in(anna, WORDS)
    assert users.session(token) == session
    for other in ("", token[:-1], token + "x", session.csrf):
        assert users.session(other) is None


def test_every_session_has_secrets_of_its_own(users, anna):
    made = [users.sign_in(anna, WORDS) for _ in range(3)]
    assert len({secret for token, session in made for secret in (token, session.csrf)}) == 6
    assert all(users.session(token) for token, _ in made)


def test_no_secret_is_kept_in_the_clear(users, database, anna):
    link = users.reset(anna, "shell")
    token, _ = users.sign_in(anna, WORDS)
    rows = database.read(lambda c: [row for t in metadata.sorted_tables for row in c.execute(select(t)).all()])
    written = repr(rows)
    assert anna in written
    for secret in (link, token, WORDS):
        assert secret not in written


def test_whatever_is_wrong_the_answer_and_the_work_are_the_same(users, passwords, anna):
    users.invite("invited", Role.REVIEWER, "shell")
    users.set_up(users.invite("former", Role.REVIEWER, "shell"), WORDS)
    users.disable("former", "shell")
    users.set_up(users.invite("waiting", Role.REVIEWER, "shell"), WORDS)
    for _ in range(5):
        refused(users, "waiting", WRONG)
    passwords.looked_at.clear()
    tries = [
        ("nobody", WORDS),
        (anna, WRONG),
        ("former", WORDS),
        ("invited", WORDS),
        ("waiting", WORDS),
        ("", ""),
        ("\0", WORDS),
        ("\ud800", WORDS),
        (anna + "\0", WORDS),
    ]
    assert len({refused(users, name, password) for name, password in tries}) == 1
    assert len(passwords.looked_at) == len(tries)
    assert sum(passwords.looked_at) == 1, "only who may sign in is looked at for real"


def test_five_wrong_passwords_are_looked_at_and_then_there_is_a_wait(users, passwords, clock, anna):
    for failures, wait in ((5, 30), (6, 60), (7, 120), (8, 240), (9, 480), (10, 900), (11, 900)):
        passwords.looked_at.clear()
        while sum(passwords.looked_at) < (5 if failures == 5 else 1):
            refused(users, anna, WRONG)
        refused(users, anna, WORDS)
        clock.pass_s(wait - 1)
        refused(users, anna, WORDS)
        assert passwords.looked_at[-2:] == [False, False], "nor is the right one looked at"
        clock.pass_s(1)
    users.sign_in(anna, WORDS)


def test_the_right_password_forgets_the_wrong_ones(users, anna):
    for _ in range(3):
        for _ in range(4):
            refused(users, anna, WRONG)
        users.sign_in(anna, WORDS)


def test_who_knocks_while_there_is_a_wait_does_not_make_it_longer(users, clock, anna):
    for _ in range(5):
        refused(users, anna, WRONG)
    for _ in range(29):
        clock.pass_s(1)
        refused(users, anna, WRONG)
    clock.pass_s(1)
    users.sign_in(anna, WORDS)


def test_a_wait_is_of_one_name(users, anna):
    for _ in range(6):
        refused(users, anna, WRONG)
    users.sign_in("root", WORDS)


def test_a_clock_that_is_set_back_shuts_nobody_out(users, clock, anna):
    for _ in range(5):
        refused(users, anna, WRONG)
    clock.pass_s(-DAY)
    users.sign_in(anna, WORDS)


def test_twenty_guesses_at_once_are_no_more_than_five(users, passwords, anna):
    passwords.looked_at.clear()
    answers = at_once(*[lambda: users.sign_in(anna, WRONG)] * 20)
    assert {type(answer) for answer in answers} == {NotPermitted}
    assert sum(passwords.looked_at) == 5


def test_who_is_shut_out_still_has_the_sessions_and_the_link(users, anna):
    token, _ = users.sign_in(anna, WORDS)
    for _ in range(9):
        refused(users, anna, WRONG)
    assert users.session(token)
    users.set_up(users.reset(anna, "shell"), OTHER)
    users.sign_in(anna, OTHER)


def test_no_transaction_is_open_while_a_password_is_looked_at(users, passwords, database, anna):
    done = []
    passwords.meanwhile = lambda: done.append(
        database.write(lambda c: c.execute(insert(table).values(guest(len(done)))))
    )
    users.sign_in(anna, WORDS)
    assert len(done) == 1


def guest(number: int) -> dict[str, Any]:
    return {"name": f"guest{number}", "role": "reviewer", "created_ms": 0, "failures": 0, "preferences": {}}


@pytest.mark.parametrize("event", ["disabled", "another password"])
def test_what_happens_while_a_password_is_looked_at_counts(users, passwords, anna, event):
    link = users.reset(anna, "shell")

    def meanwhile() -> None:
        passwords.meanwhile = lambda: None
        users.disable(anna, "shell") if event == "disabled" else users.set_up(link, OTHER)

    passwords.meanwhile = meanwhile
    refused(users, anna, WORDS)


def test_a_password_under_old_parameters_is_kept_anew(users, database, anna):
    stronger = Users(database, Passwords(memory_kib=16, passes=1))
    stronger.sign_in(anna, WORDS)
    kept = database.read(lambda c: c.execute(select(table.c.password).where(table.c.name == anna)).scalar())
    assert kept.startswith("$argon2id$v=19$m=16,t=1,p=1$")
    stronger.sign_in(anna, WORDS)


# Sessions.


def test_a_session_that_is_not_used_ends(users, clock, anna):
    token, _ = users.sign_in(anna, WORDS)
    for _ in range(3):
        clock.pass_s(12 * HOUR - 1)
        assert users.session(token)
    clock.pass_s(12 * HOUR)
    assert users.session(token) is None


def test_a_session_that_is_used_ends_after_a_week(users, clock, anna):
    token, _ = users.sign_in(anna, WORDS)
    for _ in range(7 * 24 - 1):
        clock.pass_s(HOUR)
        assert users.session(token)
    clock.pass_s(HOUR - 1)
    assert users.session(token)
    clock.pass_s(1)
    assert users.session(token) is None


def test_the_limits_are_values(database, passwords, clock, users, anna):
    short = Users(database, passwords, SessionLimits(idle_s=10, absolute_s=15, touch_s=1))
    token, _ = short.sign_in(anna, WORDS)
    clock.pass_s(9)
    assert short.session(token)
    clock.pass_s(6)
    assert short.session(token) is None


def test_looking_at_a_session_writes_no_more_than_once_a_minute(users, database, clock, anna):
    token, _ = users.sign_in(anna, WORDS)
    started, seen = clock(), []
    for _ in range(121):
        users.session(token)
        seen.append(database.read(lambda c: c.execute(select(sessions.c.seen_ms)).scalar()) - started)
        clock.pass_s(1)
    assert sorted(set(seen)) == [0, 60_000, 120_000]


def test_sessions_that_have_ended_are_cleared_away(users, database, clock, anna):
    users.sign_in(anna, WORDS)
    clock.pass_s(12 * HOUR)
    users.sign_in("root", WORDS)
    assert database.read(lambda c: c.execute(select(sessions.c.user)).scalars().all()) == ["root"]


def test_signing_out_ends_that_session_alone(users, anna):
    first, second = (users.sign_in(anna, WORDS)[0] for _ in range(2))
    users.sign_out(first)
    users.sign_out(first)
    users.sign_out("guessed")
    assert users.session(first) is None
    assert users.session(second)


def test_another_role_is_seen_at_the_next_request(users, database, anna):
    token, _ = users.sign_in(anna, WORDS)
    database.write(lambda c: c.execute(update(table).where(table.c.name == anna).values(role="reviewer")))
    assert users.session(token).role is Role.REVIEWER


# Changing one's own password.


def test_changing_the_password_ends_the_other_sessions_and_a_link_that_is_about(users, anna):
    here, there = (users.sign_in(anna, WORDS)[0] for _ in range(2))
    others, _ = users.sign_in("root", WORDS)
    link = users.reset(anna, "shell")
    users.change_password(anna, WORDS, OTHER, here)
    assert [users.session(token) is not None for token in (here, there, others)] == [True, False, True]
    assert users.invited(link) is None
    refused(users, anna, WORDS)
    users.sign_in(anna, OTHER)


def test_changing_the_password_needs_the_old_one_and_is_no_way_to_guess_it(users, passwords, anna):
    token, _ = users.sign_in(anna, WORDS)
    passwords.looked_at.clear()
    for _ in range(9):
        with pytest.raises(NotPermitted):
            users.change_password(anna, WRONG, OTHER, token)
    assert sum(passwords.looked_at) == 5
    with pytest.raises(NotPermitted):
        users.change_password(anna, WORDS, OTHER, token)


def test_a_new_password_that_cannot_be_changes_nothing(users, anna):
    token, _ = users.sign_in(anna, WORDS)
    with pytest.raises(Unacceptable):
        users.change_password(anna, WORDS, "short", token)
    users.sign_in(anna, WORDS)


def test_who_is_disabled_meanwhile_changes_no_password(users, passwords, anna):
    token, _ = users.sign_in(anna, WORDS)
    passwords.meanwhile = lambda: users.disable(anna, "shell")  # a second time it changes nothing
    with pytest.raises(NotPermitted):
        users.change_password(anna, WORDS, OTHER, token)


# Disabling.


def test_a_disabled_user_is_out_at_once_and_the_link_is_void(users, anna):
    token, _ = users.sign_in(anna, WORDS)
    link = users.reset(anna, "shell")
    users.disable(anna, "root")
    assert users.session(token) is None
    assert users.invited(link) is None
    refused(users, anna, WORDS)
    with pytest.raises(Conflict, match="users enable anna"):
        users.reset(anna, "shell")
    users.enable(anna, "root")
    assert users.session(token) is None, "what has ended does not begin again"
    users.sign_in(anna, WORDS)


def test_a_session_of_a_disabled_user_is_none_whatever_else_is_written(users, database, anna):
    token, _ = users.sign_in(anna, WORDS)
    database.write(lambda c: c.execute(update(table).where(table.c.name == anna).values(disabled_ms=1)))
    assert users.session(token) is None


def test_a_link_used_while_its_user_is_disabled_does_nothing(users, database, anna):
    link = users.reset(anna, "shell")
    database.write(lambda c: c.execute(update(table).where(table.c.name == anna).values(disabled_ms=1)))
    with pytest.raises(SourceNotFound):
        users.set_up(link, OTHER)


def test_the_last_admin_stays(users, anna):
    users.invite("invited", Role.ADMIN, "shell")  # cannot sign in yet, and so does not count
    link = users.reset("root", "shell", Role.REVIEWER)
    users.disable(anna, "root")
    for act in (
        lambda: users.disable("root", "x"),
        lambda: users.reset("root", "x", Role.REVIEWER),
        lambda: users.set_up(link, OTHER),
    ):
        with pytest.raises(Conflict, match="last admin"):
            act()
    users.sign_in("root", WORDS)
    users.disable("invited", "root")
    assert users.has_admin()


def test_two_admins_who_disable_each_other_at_once_leave_one(users, anna):
    answers = at_once(lambda: users.disable("anna", "root"), lambda: users.disable("root", "anna"))
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "NoneType"]
    assert users.has_admin()


def test_an_admin_is_there_once_one_can_sign_in(users):
    assert not users.has_admin()
    users.set_up(users.invite("bob", Role.REVIEWER, "shell"), WORDS)
    token = users.invite("ann", Role.ADMIN, "shell")
    assert not users.has_admin()
    users.set_up(token, WORDS)
    assert users.has_admin()


# The rest.


def test_preferences_are_kept_and_come_with_the_session(users, anna):
    token, _ = users.sign_in(anna, WORDS)
    users.set_preferences(anna, {"blur": True, "order": "risk"})
    assert users.session(token).preferences == {"blur": True, "order": "risk"}
    assert users.sign_in("root", WORDS)[1].preferences == {}


@pytest.mark.parametrize(("size", "taken"), [(4096, True), (4097, False)])
def test_preferences_have_a_size(users, anna, size, taken):
    preferences = {"a": "x" * (size - len(json.dumps({"a": ""})))}
    if taken:
        users.set_preferences(anna, preferences)
    else:
        with pytest.raises(Unacceptable):
            users.set_preferences(anna, preferences)


def test_every_act_is_in_the_audit_log(users, database, clock):
    users.set_up(users.invite("ann", Role.ADMIN, "start"), WORDS)
    users.set_up(users.invite("bob", Role.REVIEWER, "user:ann"), WORDS)
    refused(users, "bob", WRONG)
    refused(users, "nobody", WRONG)
    token, _ = users.sign_in("bob", WORDS)
    users.session(token)
    users.change_password("bob", WORDS, OTHER, token)
    users.sign_out(token)
    for _ in range(2):
        users.disable("bob", "user:ann")
    for _ in range(2):
        users.enable("bob", "user:ann")
    assert acts(database) == [
        ("start", "user.invited", "user:ann"),
        ("user:ann", "user.password_set", "user:ann"),
        ("user:ann", "user.invited", "user:bob"),
        ("user:bob", "user.password_set", "user:bob"),
        ("user:bob", "user.sign_in_refused", "user:bob"),
        ("user:bob", "user.signed_in", "user:bob"),
        ("user:bob", "user.password_changed", "user:bob"),
        ("user:bob", "user.signed_out", "user:bob"),
        ("user:ann", "user.disabled", "user:bob"),
        ("user:ann", "user.enabled", "user:bob"),
    ]


def test_a_flood_of_guesses_does_not_fill_the_log(users, database, anna):
    before = len(acts(database))
    for _ in range(30):
        refused(users, anna, WRONG)
        refused(users, "nobody", WRONG)
    assert len(acts(database)) == before + 5


def test_what_fails_leaves_nothing_behind(users, database, anna):
    users.disable(anna, "root")
    before = acts(database), users.list(), database.read(lambda c: c.execute(select(invitations)).all())
    with pytest.raises(Conflict):
        users.invite(anna, Role.ADMIN, "shell")
    with pytest.raises(Conflict):
        users.disable("root", "shell")
    assert (acts(database), users.list(), database.read(lambda c: c.execute(select(invitations)).all())) == before


def test_of_processes_that_start_at_once_one_makes_the_link_of_the_first_admin(url, users, clock):
    def start(_: int) -> str | None:
        with migrated(url, clock) as own:
            return Users(own).invite_first("admin", "start")

    with ThreadPoolExecutor(8) as pool:
        made = [token for token in pool.map(start, range(8)) if token]
    assert [users.invited(token) for token in made] == ["admin"]
    clock.pass_s(INVITATION_S)
    again = users.invite_first("admin", "start")
    assert users.invited(again) == "admin"
    users.set_up(again, "four words of sense")
    assert users.invite_first("admin", "start") is None
