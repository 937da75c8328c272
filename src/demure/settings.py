"""The only reader of the environment: DEMURE_* variables, and a TOML file beneath them, to the limits that each stage owns."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from demure import models
from demure.checks import SpotChecks
from demure.connection import parse_url
from demure.decode import MIB, DecodeLimits
from demure.errors import InvalidSetting, UrlNotAllowed
from demure.fetch import FetchLimits
from demure.keys import Key, parse_keys
from demure.machine import usable_memory, usable_processors
from demure.policy import DEFAULT
from demure.post import PostLimits
from demure.sandbox import SandboxLimits
from demure.webhooks import WebhookSettings, check_secrets

PREFIX = "DEMURE_"
OF_SITES = {f"{PREFIX}URL", f"{PREFIX}KEY"}  # of programs that ask a service (demure.hooks), in the same shell perhaps
_FILE = "DEMURE_CONFIG"
# Never shown, however wrong: passwords, secrets, URLs that may carry a token; a key's hash is no secret, but somebody may have
# put the key itself there.
_SECRET = {PREFIX + name for name in ("API_KEYS", "DATABASE_URL", "WEBHOOK_SECRETS", "WEBHOOK_URLS")}


def _words(value: object) -> object:
    """A list in one variable: apart by commas or white space."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _networks(value: object) -> object:
    words = _words(value)
    return tuple(ip_network(word) for word in words) if isinstance(words, list | tuple) else words


def _urls(value: object) -> object:
    """As words, but a comma may stand in a URL: it parts two only where the next begins."""
    return [url for url in re.split(r",?\s+|,(?=https?:)|,$", value) if url] if isinstance(value, str) else value


def _ports(value: object) -> object:
    """80,443 and ranges such as 8000-8100."""
    words = [str(word) for word in words] if isinstance(words := _words(value), list | tuple) else [str(value)]
    ports: set[int] = set()
    for word in words:
        first, _, last = word.partition("-")
        ports.update(range(int(first), int(last or first) + 1))
    if not ports or not all(1 <= port <= 65535 for port in ports):
        raise ValueError("expected ports from 1 to 65535, such as 80,443 or 8000-8100")
    return frozenset(ports)


def _pairs(value: object) -> object:
    """name=value, several apart by commas."""
    if not isinstance(value, str):
        return value
    pairs = [word.partition("=") for word in value.replace(",", " ").split()]
    if not all(name and equals and policy for name, equals, policy in pairs):
        raise ValueError("expected name=policy, several apart by commas, such as avatar=strict,chat=permissive")
    found = {name: policy for name, _, policy in pairs}
    if len(found) < len(pairs):
        raise ValueError("expected each name once")
    return found


def _spot_checks(value: object) -> object:
    """One share for both decisions, or name=share, several apart by commas."""
    expected = "expected a share from 0 to 1, such as 0.01, or one for each decision, such as adult=0.05,safe=0.01"
    if isinstance(value, SpotChecks):
        return value
    try:
        if isinstance(value, str) and "=" in value:
            value = _pairs(value)
        named: Mapping[str, Any] = value if isinstance(value, Mapping) else {"adult": value, "safe": value}
        shares = {name: float(share) for name, share in named.items() if not isinstance(share, bool)}
    except (TypeError, ValueError) as error:
        raise ValueError(expected) from error
    if len(shares) < len(named) or shares.keys() - {"adult", "safe"} or not all(0 <= s <= 1 for s in shares.values()):
        raise ValueError(expected)
    return SpotChecks(**shares)


def _switch(value: object) -> object:
    """on or off, and what else people write for them."""
    word = str(value).lower()
    return {"true": "on", "yes": "on", "1": "on", "false": "off", "no": "off", "0": "off"}.get(word, word)


def _keys(value: object) -> object:
    return parse_keys(value, "DEMURE_API_KEYS") if isinstance(value, str) else value


def decoder_memory_bytes(memory: int, threads: int) -> int:
    """A decoder's share of `memory` bytes: of what the service itself (some 250 MiB), its requests and the system leave."""
    share = (memory - held_bytes(memory) - 360 * MIB) // threads
    return min(SandboxLimits().memory_bytes, max(192 * MIB, share))


def held_bytes(memory: int) -> int:
    """What requests may hold of `memory` bytes."""
    return min(256 * MIB, max(96 * MIB, memory // 8))


Count = Annotated[int, Field(ge=1)]
Days = Annotated[int, Field(ge=1, le=36500)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseModel):
    """What an operator may set; docs/settings.md has a heading for each."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    data_dir: Path = Path("~/.local/share/demure")
    database_url: str = Field("", repr=False)  # may hold a password
    models_dir: Path | None = None
    policies_dir: Path | None = None
    model: str = models.DEFAULT
    served_models: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()  # none: all
    policy: str = DEFAULT
    contexts: Annotated[Mapping[str, str], BeforeValidator(_pairs)] = {}

    api_keys: Annotated[tuple[Key, ...], BeforeValidator(_keys)] = ()
    hosts: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    public: Literal["", "yes-without-keys"] = ""
    try_page: Annotated[Literal["on", "off"], BeforeValidator(_switch)] = "on"
    rate_limit: str = "6000/minute"

    spot_checks: Annotated[SpotChecks, BeforeValidator(_spot_checks)] = SpotChecks()
    memory_distance: Annotated[int, Field(ge=0, le=64)] = 31  # bits of 256
    review_lease_s: Seconds = 300.0
    review_undo_s: Annotated[float, Field(ge=0, le=86400)] = 600.0
    review_alert: Count = 100  # items that wait
    review_break_minutes: Annotated[int, Field(ge=0, le=1440)] = 50
    escalation_text: str = ""
    keep_previews_days: Days = 7
    keep_decisions_days: Days = 90
    keep_reviews_days: Days = 365
    keep_audit_days: Days = 365

    fetch_allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)] = ()
    fetch_ports: Annotated[frozenset[int], BeforeValidator(_ports)] = FetchLimits().ports
    fetch_timeout_s: Seconds = FetchLimits().timeout_s

    webhook_allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)] = ()
    webhook_ports: Annotated[frozenset[int], BeforeValidator(_ports)] = PostLimits().ports
    webhook_secrets: Annotated[
        tuple[str, ...], BeforeValidator(_words), AfterValidator(check_secrets), Field(repr=False)
    ] = ()
    # After those that it is checked by.
    webhook_urls: Annotated[tuple[str, ...], BeforeValidator(_urls), Field(repr=False)] = ()

    max_image_bytes: Count = DecodeLimits().max_bytes
    max_pixels: Count = DecodeLimits().max_pixels
    max_total_pixels: Count = DecodeLimits().max_total_pixels
    max_frames: Count = DecodeLimits().max_frames
    max_sampled_frames: Count = DecodeLimits().max_sampled_frames
    decode_timeout_s: Seconds = DecodeLimits().timeout_s
    threads: Annotated[int, Field(ge=1, le=1024)] = Field(default_factory=usable_processors)
    decoder_memory_bytes: Annotated[int, Field(ge=128 * MIB)] = Field(
        default_factory=lambda given: decoder_memory_bytes(usable_memory(), given.get("threads", 1))
    )
    max_waiting: Annotated[int, Field(ge=0)] = 32  # a thread
    max_items: Count = 32
    max_body_bytes: Count = 64 * MIB
    max_held_bytes: Count = Field(default_factory=lambda: held_bytes(usable_memory()))
    max_connections: Count = 1000
    request_timeout_s: Seconds = 30.0
    client_timeout_s: Seconds = 10.0
    log_format: Literal["text", "json"] = "text"

    @field_validator("webhook_urls")
    @classmethod
    def _check_webhook_urls(cls, urls: tuple[str, ...], given: ValidationInfo) -> tuple[str, ...]:
        if urls and not given.data.get("webhook_secrets"):
            raise ValueError("what is sent is signed: set DEMURE_WEBHOOK_SECRETS as well")
        limits = PostLimits(
            ports=given.data.get("webhook_ports", PostLimits().ports),
            allow_networks=given.data.get("webhook_allow_networks", ()),
        )
        for number, url in enumerate(urls, start=1):
            try:
                parse_url(url, limits)
            except UrlNotAllowed as error:
                opened = "DEMURE_WEBHOOK_PORTS and DEMURE_WEBHOOK_ALLOW_NETWORKS open others"
                raise ValueError(f"URL {number}: {error.message}; {opened}") from error
        return tuple(dict.fromkeys(urls))

    @property
    def webhooks(self) -> WebhookSettings:
        limits = PostLimits(ports=self.webhook_ports, allow_networks=self.webhook_allow_networks)
        return WebhookSettings(self.webhook_urls, self.webhook_secrets, limits)

    @property
    def decode_limits(self) -> DecodeLimits:
        return DecodeLimits(
            max_bytes=self.max_image_bytes,
            max_pixels=self.max_pixels,
            max_total_pixels=self.max_total_pixels,
            max_frames=self.max_frames,
            max_sampled_frames=self.max_sampled_frames,
            timeout_s=self.decode_timeout_s,
        )

    @property
    def fetch_limits(self) -> FetchLimits:
        return FetchLimits(
            max_bytes=self.max_image_bytes,
            timeout_s=self.fetch_timeout_s,
            ports=self.fetch_ports,
            allow_networks=self.fetch_allow_networks,
        )

    @property
    def sandbox_limits(self) -> SandboxLimits:
        return SandboxLimits(memory_bytes=self.decoder_memory_bytes)

    @property
    def key_file(self) -> Path:
        return self.data_dir.expanduser() / "keys.txt"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment once, and the file that DEMURE_CONFIG names; a variable overrides the file.

    Raises InvalidSetting, which names the variable or key, the value and the form wanted.
    """
    given = os.environ if environment is None else environment
    values = _read_file(Path(given[_FILE])) if _FILE in given else {}
    values |= {
        _field(variable): given[variable]
        for variable in sorted(given)
        if variable.startswith(PREFIX) and variable != _FILE and variable not in OF_SITES
    }
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        found = "" if variable in _SECRET else f"found {first['input']!r}; "
        raise InvalidSetting(f"{variable}: {found}{first['msg'].removeprefix('Value error, ')}") from error


def environment() -> Mapping[str, str]:
    """All of it, for who has to say what is wrong with it."""
    return os.environ


def platform_forgets(environment: Mapping[str, str] | None = None) -> bool:
    """Whether this runs where each deployment begins with a new disk that looks like any other: Heroku sets DYNO."""
    return "DYNO" in (os.environ if environment is None else environment)


def _read_file(path: Path) -> dict[str, Any]:
    # A device may have no end, and a pipe nobody who writes.
    if path.exists() and not path.is_file():
        raise InvalidSetting(f"{_FILE}: {path}: is no file; name a TOML file")
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSetting(f"{_FILE}: {path}: cannot be read as TOML ({error})") from error
    for key in table:
        _field(PREFIX + key.upper())
    return table


def _field(variable: str) -> str:
    name = variable.removeprefix(PREFIX).lower()
    if name not in Settings.model_fields:
        known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
        raise InvalidSetting(f"{variable}: no such setting; known: {known}")
    return name
