from __future__ import annotations

from pathlib import Path

import pytest
from findings import told

from demure.doctor.variables import check_settings, read_what_can_be

SECRET = "whsec_" + "A" * 44  # 33 bytes

FORMS = "to what is expected, or take it out; docs/settings.md has the forms"
SETTINGS = {
    "none": ({}, [("ok", "all as they come")]),
    "some": (
        {"DEMURE_POLICY": "strict", "DEMURE_HOSTS": "a.example", "PATH": "/bin"},
        [("ok", "2 variables set, the rest as they come: DEMURE_POLICY and DEMURE_HOSTS")],
    ),
    "one-is-wrong": (
        {"DEMURE_MAX_WAITING": "-1", "DEMURE_POLICY": "strict"},
        [
            (
                "problem",
                "DEMURE_MAX_WAITING: found '-1'; Input should be greater than or equal to 0",
                f"set DEMURE_MAX_WAITING {FORMS}",
            )
        ],
    ),
    "a-slip-of-the-pen": (
        {"DEMURE_TREADS": "2"},
        [
            (
                "problem",
                "DEMURE_TREADS: no such setting",
                "did you mean DEMURE_THREADS? If not, take it out: the service does not start with it",
            )
        ],
    ),
    "a-name-like-no-other": (
        {"DEMURE_XYZZYX": "2"},
        [("problem", "DEMURE_XYZZYX: no such setting", "take it out: the service does not start with it")],
    ),
    "a-rate-that-is-none": (
        {"DEMURE_RATE_LIMIT": "much"},
        [
            (
                "problem",
                "DEMURE_RATE_LIMIT: found 'much'; expected a number a time, such as 600/minute, or none",
                f"set DEMURE_RATE_LIMIT {FORMS}",
            )
        ],
    ),
    "a-rate": ({"DEMURE_RATE_LIMIT": "9/second"}, [("ok", "1 variable set, the rest as they come: DEMURE_RATE_LIMIT")]),
    "a-secret-is-not-shown": (
        {"DEMURE_API_KEYS": "demure_the-key-itself"},
        [
            (
                "problem",
                "DEMURE_API_KEYS: an entry is not of the form name:scopes:sha256hex, with scopes among classify,review,metrics,admin",
                f"set DEMURE_API_KEYS {FORMS}",
            )
        ],
    ),
}


@pytest.mark.parametrize(("environment", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings(environment: dict[str, str], expected: list[tuple[str, ...]]):
    assert told(check_settings(read_what_can_be(environment))) == expected


def test_all_that_is_wrong_is_told_and_the_rest_is_read():
    reading = read_what_can_be(
        {"DEMURE_THREADS": "x", "DEMURE_NOPE": "1", "DEMURE_POLICY": "strict", "DEMURE_MAX_ITEMS": "0"}
    )
    assert [*reading.broken] == ["DEMURE_THREADS", "DEMURE_MAX_ITEMS", "DEMURE_NOPE"]
    assert reading.settings.policy == "strict"
    assert (reading.is_known("policy"), reading.is_known("threads"), reading.is_known("max_frames")) == (
        True,
        False,
        True,
    )


def test_a_setting_that_another_needs_counts_for_it():
    reading = read_what_can_be(
        {"DEMURE_WEBHOOK_URLS": "https://a.example.org/", "DEMURE_WEBHOOK_SECRETS": SECRET, "DEMURE_NOPE": "1"}
    )
    assert [*reading.broken] == ["DEMURE_NOPE"]
    assert reading.settings.webhook_urls == ("https://a.example.org/",)


def test_a_file_that_cannot_be_read_leaves_nothing_known(tmp_path: Path):
    file = tmp_path / "demure.toml"
    file.write_text("policy = ")
    reading = read_what_can_be({"DEMURE_CONFIG": str(file)})
    ((state, found, advice),) = told(check_settings(reading))
    assert (state, found.split(" (")[0]) == ("problem", f"DEMURE_CONFIG: {file}: cannot be read as TOML")
    assert advice == "mend the file, or take DEMURE_CONFIG out; docs/settings.md has the forms"
    assert not reading.is_known("policy")


def test_a_file_and_a_variable_over_it_are_read_together(tmp_path: Path):
    file = tmp_path / "demure.toml"
    file.write_text('policy = "strict"\nthreads = "x"')
    assert read_what_can_be({"DEMURE_CONFIG": str(file), "DEMURE_THREADS": "1"}).broken == {}
