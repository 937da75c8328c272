"""Who may ask this service, who may review, and who is told: what the settings and the keys come to.

At which address the service listens is told at its start (`demure serve --host`), and not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from demure.doctor.contents import Contents, KeptKey
from demure.doctor.finding import Finding, counted, listed, note, ok
from demure.keys import Key, Scope
from demure.settings import Settings
from demure.store.schema import DAY_MS

KEYS, ACCESS, REVIEW, WEBHOOKS = "keys", "access", "review", "webhooks"
_OLD_DAYS = 365
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def check_keys(settings: Settings, contents: Contents, now_ms: int) -> Iterator[Finding]:
    kept, given = contents.keys, settings.api_keys
    told = [
        *([f"{counted(len(kept), 'key')} in the database"] if kept else []),
        *([f"{counted(len(given), 'key')} in DEMURE_API_KEYS"] if given else []),
    ]
    if told:
        yield ok(KEYS, f"{listed(told)}; when they were last used is not kept")
    elif contents.had_keys:
        yield note(KEYS, "every key was revoked: nobody can ask anything", "demure keys create my-site")
    else:
        yield ok(KEYS, "none: see access")
    if admins := _may_everything([*kept, *given]):
        yield note(
            KEYS,
            f"may do everything: {_named(admins)}",
            "give a key the scopes that it needs (classify, review, metrics) and no more",
        )
    if old := [key.name for key in kept if now_ms - key.created_ms > _OLD_DAYS * DAY_MS]:
        yield note(
            KEYS,
            f"older than a year: {_named(old)}",
            "make a new one under another name, hand it out, and then revoke the old one",
        )
    if twice := sorted({key.name for key in kept} & {key.name for key in given}):
        yield note(
            KEYS,
            f"in the database and in DEMURE_API_KEYS: {_named(twice)}",
            "the log tells keys by their names: rename one",
        )


def _may_everything(keys: Sequence[Key | KeptKey]) -> list[str]:
    return [key.name for key in keys if Scope.ADMIN in key.scopes]


def _named(names: Sequence[str]) -> str:
    return listed([*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])])


def check_access(settings: Settings, contents: Contents) -> Iterator[Finding]:
    has_keys = bool(settings.api_keys) or contents.had_keys
    if has_keys:
        yield ok(
            ACCESS,
            "whoever asks needs a key, wherever the service listens; /health, /livez and the pages to sign in do without",
        )
    elif settings.public:
        yield note(
            ACCESS,
            "DEMURE_PUBLIC: whoever reaches the port may use this machine's processor and its view of the network, without a key",
            "demure keys create my-site, and take DEMURE_PUBLIC out; or let nobody but your site reach the port",
        )
    else:
        yield note(
            ACCESS,
            "no key: this machine itself is answered, and others are not, nor those who come through a proxy",
            "before others are to ask: demure keys create my-site",
        )
    if has_keys and settings.public:
        yield note(ACCESS, "DEMURE_PUBLIC changes nothing: there are keys", "take it out")
    yield from _on_hosts(settings, has_keys=has_keys)
    yield from _on_try_page(settings, has_keys=has_keys)


def _on_hosts(settings: Settings, *, has_keys: bool) -> Iterator[Finding]:
    if settings.hosts:
        yield ok(ACCESS, f"answers to the names {listed(list(settings.hosts))} alone")
        if _LOOPBACK.isdisjoint(host.lower() for host in settings.hosts):
            yield note(
                ACCESS,
                "DEMURE_HOSTS has no name of this machine for itself: programs here, Prometheus too, get 403 at 127.0.0.1",
                "add 127.0.0.1 and localhost, unless nobody asks there",
            )
    elif settings.public and not has_keys:
        yield note(
            ACCESS,
            "DEMURE_HOSTS is empty: a page in somebody's browser may ask through a name of its own",
            "DEMURE_HOSTS=the names under which the service is asked",
        )


def _on_try_page(settings: Settings, *, has_keys: bool) -> Iterator[Finding]:
    if settings.try_page == "on" and (has_keys or settings.public):
        needs = "what it asks needs a key" if has_keys else "what it asks needs none"
        yield ok(
            ACCESS, f"the page at / is there for whoever reaches the port; {needs} (DEMURE_TRY_PAGE=off takes it away)"
        )


def check_review(contents: Contents) -> Iterator[Finding]:
    people = f"{counted(contents.admins, 'admin')} and {counted(contents.reviewers, 'reviewer')} can sign in"
    if contents.admins:
        yield ok(REVIEW, f"{people}; {counted(contents.waiting, 'item')} waiting")
    else:
        yield note(
            REVIEW,
            f"{people}; {counted(contents.waiting, 'item')} waiting",
            "use the link that the first start printed, or make another: demure users create NAME --role admin",
        )
    if contents.admins or contents.reviewers:
        yield ok(
            REVIEW,
            "over plain http passwords can be read on the way: a proxy with TLS goes in front, and says X-Forwarded-Proto: https",
        )


def check_webhooks(settings: Settings, contents: Contents) -> Iterator[Finding]:
    urls, secrets = settings.webhook_urls, settings.webhook_secrets
    if urls:
        yield ok(WEBHOOKS, f"{counted(len(urls), 'URL')}, signed with {counted(len(secrets), 'secret')}")
    elif secrets:
        yield note(
            WEBHOOKS,
            "DEMURE_WEBHOOK_SECRETS without URLs: nothing is sent",
            "set DEMURE_WEBHOOK_URLS, or take the secrets out",
        )
    else:
        yield ok(WEBHOOKS, "none: verdicts are asked for at /v1/events")
    if plain := sum(url.lower().startswith("http:") for url in urls):
        yield note(
            WEBHOOKS,
            f"{plain} of {counted(len(urls), 'URL')} without TLS: what is sent can be read on the way",
            "use https, or keep to a network of your own",
        )
    if urls and len(secrets) > 1:
        yield note(
            WEBHOOKS,
            "two secrets: each event carries both signatures",
            "when your site knows the first, take the second out",
        )
    if contents.dead_letters:
        yield note(
            WEBHOOKS,
            f"{counted(contents.dead_letters, 'dead letter')}: events that your site never took",
            "demure events dead says why: mend the receiver, then demure events retry --all",
        )
