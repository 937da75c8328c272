from __future__ import annotations

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest

from demure.checks import SpotChecks
from demure.decode import MIB, DecodeLimits
from demure.errors import InvalidSetting
from demure.fetch import FetchLimits
from demure.post import PostLimits
from demure.settings import decoder_memory_bytes, held_bytes, read_settings
from demure.webhooks import WebhookSettings

HASH = "a" * 64


def test_nothing_set_means_the_defaults_of_each_stage():
    settings = read_settings({})
    assert (settings.models_dir, settings.policy, settings.model) == (None, "balanced", "mobilenet_v2_140")
    assert settings.decode_limits == DecodeLimits()
    assert settings.fetch_limits == FetchLimits()
    assert settings.threads >= 1


# What a box of that memory shows (a rented gigabyte is 961 MiB), its threads: for requests, for each decoder. Arithmetic:
# requests an eighth between 96 and 256; decoders (memory - requests - 360) / threads between 192 and 1024.
BOXES = {
    "half-a-gigabyte": (512, 1, 96, 192),
    "one-gigabyte": (961, 1, 120, 480),
    "two-gigabytes": (1968, 2, 246, 681),
    "four-gigabytes": (3900, 2, 256, 1024),
    "many-threads": (8000, 64, 256, 192),
}


@pytest.mark.parametrize(("memory", "threads", "held", "decoder"), BOXES.values(), ids=BOXES)
def test_what_requests_and_decoders_may_hold_goes_by_the_box(memory: int, threads: int, held: int, decoder: int):
    assert held_bytes(memory * MIB) // MIB == held
    assert decoder_memory_bytes(memory * MIB, threads) // MIB == decoder


def test_what_is_set_by_hand_is_kept():
    settings = read_settings({"DEMURE_DECODER_MEMORY_BYTES": "300000000", "DEMURE_MAX_HELD_BYTES": "70000000"})
    assert (settings.sandbox_limits.memory_bytes, settings.max_held_bytes) == (300_000_000, 70_000_000)


def test_a_variable_sets_its_value_and_others_are_left_alone():
    settings = read_settings({"DEMURE_POLICY": "strict", "DEMURE_MODELS_DIR": "/srv/models", "PATH": "/bin"})
    assert (settings.policy, settings.models_dir) == ("strict", Path("/srv/models"))


def test_networks_and_ports_are_read_as_lists_and_ranges():
    settings = read_settings(
        {"DEMURE_FETCH_ALLOW_NETWORKS": "10.1.0.0/16, fd00::/8", "DEMURE_FETCH_PORTS": "80,8000-8002"}
    )
    assert settings.fetch_limits.allow_networks == (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert settings.fetch_limits.ports == {80, 8000, 8001, 8002}


def test_contexts_keys_and_hosts_are_read():
    settings = read_settings(
        {
            "DEMURE_CONTEXTS": "avatar=strict,chat=permissive",
            "DEMURE_API_KEYS": f"a:classify:{HASH} b:review,metrics:{HASH}",
            "DEMURE_HOSTS": "a.example,b.example",
        }
    )
    assert settings.contexts == {"avatar": "strict", "chat": "permissive"}
    assert [key.name for key in settings.api_keys] == ["a", "b"]
    assert settings.hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("value", "shares"),
    [
        ("0", SpotChecks(0, 0)),
        ("1", SpotChecks(1, 1)),
        ("0.01", SpotChecks(0.01, 0.01)),
        ("adult=0.05,safe=0.01", SpotChecks(adult=0.05, safe=0.01)),
        ("safe=0.01", SpotChecks(adult=0, safe=0.01)),
    ],
)
def test_spot_checks_are_one_share_or_one_for_each_decision(value: str, shares: SpotChecks):
    assert read_settings({"DEMURE_SPOT_CHECKS": value}).spot_checks == shares


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("DEMURE_SPOT_CHECKS", "adult=.5,adult=.1", "expected a share from 0 to 1, .*or one for each decision"),
        ("DEMURE_CONTEXTS", "chat=strict,chat=permissive", "expected each name once"),
    ],
)
def test_a_name_that_is_given_twice_is_refused(variable: str, value: str, words: str):
    with pytest.raises(InvalidSetting, match=f"{variable}: found '{value}'; {words}"):
        read_settings({variable: value})


def test_a_file_may_give_spot_checks_as_a_number_or_a_table(tmp_path: Path):
    path = tmp_path / "demure.toml"
    for text, shares in (("0.01", SpotChecks(0.01, 0.01)), ("{ safe = 0.02 }", SpotChecks(safe=0.02))):
        path.write_text(f"spot_checks = {text}\n")
        assert read_settings({"DEMURE_CONFIG": str(path)}).spot_checks == shares
    path.write_text("spot_checks = true\n")
    with pytest.raises(InvalidSetting, match="expected a share from 0 to 1, such as 0.01, or one for each decision"):
        read_settings({"DEMURE_CONFIG": str(path)})


def test_an_unknown_variable_stops_the_start_and_lists_the_known_ones():
    with pytest.raises(InvalidSetting, match=r"DEMURE_POLCY: no such setting; known: .*DEMURE_POLICY"):
        read_settings({"DEMURE_POLCY": "strict"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEMURE_FETCH_ALLOW_NETWORKS", "yes"),
        ("DEMURE_FETCH_ALLOW_NETWORKS", "10.0.0.1/8"),
        ("DEMURE_FETCH_PORTS", "http"),
        ("DEMURE_FETCH_PORTS", "0"),
        ("DEMURE_FETCH_PORTS", "70000"),
        ("DEMURE_FETCH_PORTS", ""),
        ("DEMURE_FETCH_TIMEOUT_S", "0"),
        ("DEMURE_FETCH_TIMEOUT_S", "soon"),
        ("DEMURE_MAX_PIXELS", "-1"),
        ("DEMURE_MAX_PIXELS", "many"),
        ("DEMURE_THREADS", "0"),
        ("DEMURE_CONTEXTS", "avatar"),
        ("DEMURE_WEBHOOK_ALLOW_NETWORKS", "next door"),
        ("DEMURE_WEBHOOK_PORTS", "https"),
        ("DEMURE_SPOT_CHECKS", "5%"),
        ("DEMURE_SPOT_CHECKS", "-0.01"),
        ("DEMURE_SPOT_CHECKS", "1.01"),
        ("DEMURE_SPOT_CHECKS", "nan"),
        ("DEMURE_SPOT_CHECKS", ""),
        ("DEMURE_SPOT_CHECKS", "adult=0.1,unknown=0.1"),
        ("DEMURE_SPOT_CHECKS", "adult=often"),
        ("DEMURE_PUBLIC", "yes"),
        ("DEMURE_LOG_FORMAT", "xml"),
        ("DEMURE_DECODER_MEMORY_BYTES", "1000"),
    ],
)
def test_a_bad_value_stops_the_start_naming_variable_and_value(variable: str, value: str):
    with pytest.raises(InvalidSetting) as caught:
        read_settings({variable: value})
    assert caught.value.message.startswith(f"{variable}: found ")
    assert value in caught.value.message


def test_a_key_in_the_clear_is_refused_and_not_shown():
    with pytest.raises(InvalidSetting, match="^DEMURE_API_KEYS: .*name:scopes:sha256hex") as caught:
        read_settings({"DEMURE_API_KEYS": "demure_my-secret-key"})
    assert "my-secret-key" not in caught.value.message


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's example: 24 bytes
HOOKS = {"DEMURE_WEBHOOK_URLS": "https://example.org/hook?a=1,2", "DEMURE_WEBHOOK_SECRETS": SECRET}


def whsec(count: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * count).decode()


def test_webhooks_have_networks_and_ports_of_their_own():
    settings = read_settings(
        {
            **HOOKS,
            "DEMURE_WEBHOOK_URLS": "http://site:8000/hook",
            "DEMURE_WEBHOOK_ALLOW_NETWORKS": "172.18.0.0/16",
            "DEMURE_WEBHOOK_PORTS": "8000",
        }
    )
    limits = PostLimits(ports=frozenset({8000}), allow_networks=(ip_network("172.18.0.0/16"),))
    assert settings.webhooks == WebhookSettings(("http://site:8000/hook",), (SECRET,), limits)
    assert settings.fetch_limits == FetchLimits()


@pytest.mark.parametrize("between", [",", " ", ", ", ",\n", "\n"])
def test_urls_are_parted_by_commas_or_white_space_and_may_hold_commas(between: str):
    first, second = "https://a.example.org/hook?a=1,2", "http://b.example.org/"
    settings = read_settings({**HOOKS, "DEMURE_WEBHOOK_URLS": f" {first}{between}{second},"})
    assert settings.webhook_urls == (first, second)


def test_a_url_that_is_named_twice_is_one():
    settings = read_settings({**HOOKS, "DEMURE_WEBHOOK_URLS": "https://a.org/ https://a.org/"})
    assert settings.webhook_urls == ("https://a.org/",)


@pytest.mark.parametrize("secret", [whsec(24), whsec(64), whsec(25).rstrip("="), f"{whsec(24)},{whsec(32)}"])
def test_one_or_two_secrets_of_24_to_64_bytes_are_taken(secret: str):
    assert read_settings({**HOOKS, "DEMURE_WEBHOOK_SECRETS": secret}).webhooks.secrets == tuple(secret.split(","))


@pytest.mark.parametrize(
    "secret",
    [
        whsec(23),
        whsec(65),
        whsec(24).removeprefix("whsec_"),
        whsec(24) + "-_-_",  # of another alphabet than base64's
        "whsec_" + "é" * 32,
        "whsec_",
        f"{whsec(24)},{whsec(25)},{whsec(26)}",
        f"{whsec(24)},short",
    ],
)
def test_other_secrets_stop_the_start_and_are_not_shown(secret: str):
    with pytest.raises(InvalidSetting, match="^DEMURE_WEBHOOK_SECRETS: expected ") as caught:
        read_settings({**HOOKS, "DEMURE_WEBHOOK_SECRETS": secret})
    for shown in (caught.value.message, str(caught.value.__cause__)):
        assert not any(word.removeprefix("whsec_") in shown for word in secret.split(",") if word != "whsec_")


def test_urls_without_a_secret_stop_the_start():
    with pytest.raises(InvalidSetting, match="^DEMURE_WEBHOOK_URLS: .*DEMURE_WEBHOOK_SECRETS"):
        read_settings({"DEMURE_WEBHOOK_URLS": "https://example.org/hook"})


@pytest.mark.parametrize(
    "url", ["https://example.org:8443/token", "http://site/token", "ftp://example.org/token", "https://u:token@a.org/"]
)
def test_a_url_that_could_never_be_reached_stops_the_start_and_is_not_shown(url: str):
    with pytest.raises(InvalidSetting, match="^DEMURE_WEBHOOK_URLS: URL 2: ") as caught:
        read_settings({**HOOKS, "DEMURE_WEBHOOK_URLS": f"https://example.org/ {url}"})
    assert "token" not in caught.value.message + str(caught.value.__cause__)


def test_the_settings_show_no_secret_when_they_are_printed():
    settings = read_settings({**HOOKS, "DEMURE_WEBHOOK_URLS": "https://example.org/?token=1"})
    for shown in (repr(settings), str(settings), repr(settings.webhooks)):
        assert SECRET not in shown
        assert "token" not in shown


def test_a_file_sets_values_and_a_variable_overrides_it(tmp_path: Path):
    path = tmp_path / "demure.toml"
    path.write_text('policy = "strict"\nfetch_ports = "8080"\nmax_pixels = 1000\n')
    settings = read_settings({"DEMURE_CONFIG": str(path), "DEMURE_POLICY": "permissive"})
    assert (settings.policy, settings.fetch_ports, settings.max_pixels) == ("permissive", {8080}, 1000)


@pytest.mark.parametrize("text", ["policy =", "polcy = 'strict'", None])
def test_a_file_that_does_not_hold_stops_the_start(tmp_path: Path, text: str | None):
    path = tmp_path / "demure.toml"
    if text:
        path.write_text(text)
    with pytest.raises(InvalidSetting, match="DEMURE_CONFIG|DEMURE_POLCY"):
        read_settings({"DEMURE_CONFIG": str(path)})


def test_the_environment_is_read_when_nothing_else_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_POLICY", "permissive")
    assert read_settings().policy == "permissive"


def test_what_programs_of_the_site_find_the_service_by_is_no_setting_of_it():
    assert read_settings({"DEMURE_URL": "http://127.0.0.1:8080", "DEMURE_KEY": "x"}) == read_settings({})


def test_a_device_in_the_files_place_is_refused_and_not_read_to_its_end():
    with pytest.raises(InvalidSetting, match="/dev/zero: is no file"):
        read_settings({"DEMURE_CONFIG": "/dev/zero"})
