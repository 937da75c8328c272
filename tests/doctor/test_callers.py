from __future__ import annotations

import pytest
from findings import told

from demure.doctor import (
    callers,
)
from demure.doctor.contents import Contents, KeptKey
from demure.keys import Key, Scope
from demure.settings import Settings

SECRET = "whsec_" + "A" * 44  # 33 bytes

DAY_MS = 86_400_000
NOW_MS = 2_000 * DAY_MS


def kept(name: str, *scopes: Scope, days: int = 1) -> KeptKey:
    return KeptKey(name, frozenset(scopes or (Scope.CLASSIFY,)), NOW_MS - days * DAY_MS)


def given(name: str, *scopes: Scope) -> Key:
    return Key(name, frozenset(scopes or (Scope.CLASSIFY,)), "0" * 64)


NOT_KEPT = "when they were last used is not kept"
KEYS = {
    "never-one": (Contents(), (), [("ok", "none: see access")]),
    "all-revoked": (
        Contents(had_keys=True),
        (),
        [("note", "every key was revoked: nobody can ask anything", "demure keys create my-site")],
    ),
    "one": (Contents(keys=(kept("site"),), had_keys=True), (), [("ok", f"1 key in the database; {NOT_KEPT}")]),
    "both": (
        Contents(keys=(kept("site"), kept("ops")), had_keys=True),
        (given("old"),),
        [("ok", f"2 keys in the database and 1 key in DEMURE_API_KEYS; {NOT_KEPT}")],
    ),
    "admins": (
        Contents(keys=(kept("site"), kept("ops", Scope.ADMIN)), had_keys=True),
        (given("root", Scope.ADMIN),),
        [
            ("ok", f"2 keys in the database and 1 key in DEMURE_API_KEYS; {NOT_KEPT}"),
            (
                "note",
                "may do everything: ops and root",
                "give a key the scopes that it needs (classify, review, metrics) and no more",
            ),
        ],
    ),
    "old": (
        Contents(keys=(kept("young", days=365), kept("old", days=366)), had_keys=True),
        (),
        [
            ("ok", f"2 keys in the database; {NOT_KEPT}"),
            (
                "note",
                "older than a year: old",
                "make a new one under another name, hand it out, and then revoke the old one",
            ),
        ],
    ),
    "many-old": (
        Contents(keys=tuple(kept(f"k{n}", days=400) for n in range(7)), had_keys=True),
        (),
        [
            ("ok", f"7 keys in the database; {NOT_KEPT}"),
            (
                "note",
                "older than a year: k0, k1, k2, k3, k4 and 2 more",
                "make a new one under another name, hand it out, and then revoke the old one",
            ),
        ],
    ),
    "twice": (
        Contents(keys=(kept("site"),), had_keys=True),
        (given("site"),),
        [
            ("ok", f"1 key in the database and 1 key in DEMURE_API_KEYS; {NOT_KEPT}"),
            ("note", "in the database and in DEMURE_API_KEYS: site", "the log tells keys by their names: rename one"),
        ],
    ),
}


@pytest.mark.parametrize(("contents", "api_keys", "expected"), KEYS.values(), ids=KEYS)
def test_keys(contents: Contents, api_keys: tuple[Key, ...], expected: list[tuple[str, ...]]):
    assert told(callers.check_keys(Settings(api_keys=api_keys), contents, NOW_MS)) == expected


HAS_KEY = Contents(had_keys=True)
NEEDS = (
    "ok",
    "whoever asks needs a key, wherever the service listens; /health, /livez and the pages to sign in do without",
)
PUBLIC = (
    "note",
    "DEMURE_PUBLIC: whoever reaches the port may use this machine's processor and its view of the network, without a key",
    "demure keys create my-site, and take DEMURE_PUBLIC out; or let nobody but your site reach the port",
)
PAGE = "the page at / is there for whoever reaches the port; what it asks needs {} (DEMURE_TRY_PAGE=off takes it away)"
NOT_HERE = (
    "note",
    "DEMURE_HOSTS has no name of this machine for itself: programs here, Prometheus too, get 403 at 127.0.0.1",
    "add 127.0.0.1 and localhost, unless nobody asks there",
)
OPEN, ON = {"public": "yes-without-keys"}, {"try_page": "on"}
CALLERS = {
    "no-key": (
        Contents(),
        {},
        [
            (
                "note",
                "no key: this machine itself is answered, and others are not, nor those who come through a proxy",
                "before others are to ask: demure keys create my-site",
            )
        ],
    ),
    "a-key": (HAS_KEY, {}, [NEEDS]),
    "a-key-of-the-environment": (Contents(), {"api_keys": (given("site"),)}, [NEEDS]),
    "public": (
        Contents(),
        OPEN,
        [
            PUBLIC,
            (
                "note",
                "DEMURE_HOSTS is empty: a page in somebody's browser may ask through a name of its own",
                "DEMURE_HOSTS=the names under which the service is asked",
            ),
        ],
    ),
    "public-by-name": (
        Contents(),
        {**OPEN, "hosts": ("a.example", "localhost")},
        [PUBLIC, ("ok", "answers to the names a.example and localhost alone")],
    ),
    "public-and-a-key": (
        HAS_KEY,
        OPEN,
        [NEEDS, ("note", "DEMURE_PUBLIC changes nothing: there are keys", "take it out")],
    ),
    "a-key-and-names": (
        HAS_KEY,
        {"hosts": ("a.example",)},
        [NEEDS, ("ok", "answers to the names a.example alone"), NOT_HERE],
    ),
    "names-with-this-machines": (
        HAS_KEY,
        {"hosts": ("a.example", "LocalHost")},
        [NEEDS, ("ok", "answers to the names a.example and LocalHost alone")],
    ),
    "a-page-and-a-key": (HAS_KEY, ON, [NEEDS, ("ok", PAGE.format("a key"))]),
    "a-page-for-all": (
        Contents(),
        {**OPEN, **ON, "hosts": ("a.example",)},
        [PUBLIC, ("ok", "answers to the names a.example alone"), NOT_HERE, ("ok", PAGE.format("none"))],
    ),
    "a-page-for-this-machine": (
        Contents(),
        ON,
        [
            (
                "note",
                "no key: this machine itself is answered, and others are not, nor those who come through a proxy",
                "before others are to ask: demure keys create my-site",
            )
        ],
    ),
}


@pytest.mark.parametrize(("contents", "values", "expected"), CALLERS.values(), ids=CALLERS)
def test_callers(contents: Contents, values: dict, expected: list[tuple[str, ...]]):
    assert told(callers.check_access(Settings(**{"try_page": "off", **values}), contents)) == expected


HTTP = (
    "ok",
    "over plain http passwords can be read on the way: a proxy with TLS goes in front, and says X-Forwarded-Proto: https",
)
INVITE = "use the link that the first start printed, or make another: demure users create NAME --role admin"
PEOPLE = {
    "nobody": (Contents(), [("note", "0 admins and 0 reviewers can sign in; 0 items waiting", INVITE)]),
    "no-admin": (
        Contents(reviewers=2, waiting=1),
        [("note", "0 admins and 2 reviewers can sign in; 1 item waiting", INVITE), HTTP],
    ),
    "an-admin": (
        Contents(admins=1, reviewers=1, waiting=1200),
        [("ok", "1 admin and 1 reviewer can sign in; 1,200 items waiting"), HTTP],
    ),
}


@pytest.mark.parametrize(("contents", "expected"), PEOPLE.values(), ids=PEOPLE)
def test_review(contents: Contents, expected: list[tuple[str, ...]]):
    assert told(callers.check_review(contents)) == expected


HOOKS = {
    "none": ({}, 0, [("ok", "none: verdicts are asked for at /v1/events")]),
    "signed": (
        {"webhook_secrets": (SECRET,), "webhook_urls": ("https://a.example.org/?token=hunter2",)},
        0,
        [("ok", "1 URL, signed with 1 secret")],
    ),
    "secrets-alone": (
        {"webhook_secrets": (SECRET,)},
        0,
        [
            (
                "note",
                "DEMURE_WEBHOOK_SECRETS without URLs: nothing is sent",
                "set DEMURE_WEBHOOK_URLS, or take the secrets out",
            )
        ],
    ),
    "without-tls": (
        {"webhook_secrets": (SECRET,), "webhook_urls": ("http://a.example.org/", "https://b.example.org/")},
        0,
        [
            ("ok", "2 URLs, signed with 1 secret"),
            (
                "note",
                "1 of 2 URLs without TLS: what is sent can be read on the way",
                "use https, or keep to a network of your own",
            ),
        ],
    ),
    "two-secrets": (
        {"webhook_secrets": (SECRET, SECRET), "webhook_urls": ("https://a.example.org/",)},
        0,
        [
            ("ok", "1 URL, signed with 2 secrets"),
            (
                "note",
                "two secrets: each event carries both signatures",
                "when your site knows the first, take the second out",
            ),
        ],
    ),
    "dead-letters": (
        {},
        3,
        [
            ("ok", "none: verdicts are asked for at /v1/events"),
            (
                "note",
                "3 dead letters: events that your site never took",
                "demure events dead says why: mend the receiver, then demure events retry --all",
            ),
        ],
    ),
}


@pytest.mark.parametrize(("values", "dead", "expected"), HOOKS.values(), ids=HOOKS)
def test_webhooks(values: dict, dead: int, expected: list[tuple[str, ...]]):
    assert told(callers.check_webhooks(Settings(**values), Contents(dead_letters=dead))) == expected
