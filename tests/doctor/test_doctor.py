from __future__ import annotations

from dataclasses import replace

import pytest
from findings import told

from demure.decode import MIB
from demure.doctor import (
    Check,
    run_check,
)
from demure.doctor.case import Case
from demure.doctor.contents import Contents
from demure.doctor.finding import Finding, in_bytes, listed, ok
from demure.doctor.variables import read_what_can_be


def case(environment: dict[str, str]) -> Case:
    return Case(read_what_can_be(environment), environment)


def test_a_check_that_fails_is_told_without_what_it_failed_with(caplog: pytest.LogCaptureFixture):
    def fail(_: Case) -> list[Finding]:
        raise RuntimeError("hunter2")

    assert told(run_check(Check("odd", fail), case({}))) == [
        (
            "problem",
            "could not be looked at (RuntimeError)",
            "this is a fault of demure doctor, and what was written to standard error says where",
        )
    ]
    assert [record.getMessage() for record in caplog.records] == ["the check odd failed"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DEMURE_MAX_ITEMS": "x"}, [("ok", "all well")]),
        (
            {"DEMURE_THREADS": "x"},
            [("note", "not looked at: DEMURE_THREADS cannot be read", "mend that first, and ask again")],
        ),
        (
            {"DEMURE_CONFIG": "/nowhere/demure.toml"},
            [("note", "not looked at: the settings that it needs cannot be read", "mend that first, and ask again")],
        ),
    ],
)
def test_a_check_whose_settings_cannot_be_read_is_left_out(
    environment: dict[str, str], expected: list[tuple[str, ...]]
):
    check = Check("odd", lambda _: [ok("odd", "all well")], ("threads", "policy"))
    assert told(run_check(check, case(environment))) == expected


@pytest.mark.parametrize(("may", "is_known"), [({}, True), ({"readable": False}, False), ({"hidden": True}, False)])
def test_a_file_that_may_not_be_looked_into_is_not_opened(may: dict[str, bool], is_known: bool):
    """There is no such file: to open it would fail, with other words."""
    shut = case({"DEMURE_DATABASE_URL": "sqlite:////nowhere/demure.db"})
    shut.access = replace(shut.access, **{"exists": not is_known, "by": "demure", **may})
    assert (shut.contents == Contents()) is is_known
    if not is_known:
        assert (shut.condition.found, shut.condition.advice) == (
            "/nowhere/demure.db: cannot be read by demure",
            "ask as the user of the service",
        )


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (2048, "2 KiB"), (1536 * MIB, "1.5 GiB"), (1 << 41, "2.0 TiB")],
)
def test_sizes_are_written_as_in_the_documents(size: int, text: str):
    assert in_bytes(size) == text


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_listed(words: list[str], text: str):
    assert listed(words) == text
