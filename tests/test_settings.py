from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from demure.decode import MIB, DecodeLimits
from demure.errors import InvalidSetting
from demure.fetch import FetchLimits
from demure.settings import decoder_memory_bytes, held_bytes, read_settings

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
