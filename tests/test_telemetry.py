from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from demure.errors import NotAnImage, UpstreamTimeout
from demure.policy import Outcome
from demure.screening import Screening
from demure.telemetry import Metrics, configure_logging

SAFE = Screening(
    Outcome.SAFE, "risk <= 0.25", "balanced", "v", timings_ms={"decode": 4.0, "classify": 40.0, "total": 45.0}
)
LATE = Screening(Outcome.UNKNOWN, "upstream_timeout", "balanced", "v", error=UpstreamTimeout("late"))
TEXT = Screening(Outcome.UNKNOWN, "not_an_image", "balanced", "v", error=NotAnImage("text"))


def test_decisions_stages_and_fetch_failures_are_counted():
    metrics = Metrics()
    for screening in (SAFE, SAFE, LATE, TEXT):
        metrics.observe_decision(screening)
        metrics.observe_work(screening)
    lines = metrics.render().decode().splitlines()
    assert 'demure_decisions_total{decision="safe",reason="risk <= 0.25"} 2.0' in lines
    assert 'demure_decisions_total{decision="unknown",reason="not_an_image"} 1.0' in lines
    assert 'demure_fetch_failures_total{code="upstream_timeout"} 1.0' in lines
    assert 'demure_stage_seconds_sum{stage="classify"} 0.08' in lines
    assert not any('stage="total"' in line or 'code="not_an_image"' in line for line in lines)


def test_two_services_in_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.observe_decision(SAFE)
    assert b'decision="safe"' not in other.render()


@pytest.fixture
def logging_restored():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_librarys_own_line_takes_the_same_form(capfd, logging_restored):
    configure_logging("json")
    logging.getLogger("multipart").warning("odd bytes: %s", "\r\n")
    record = json.loads(capfd.readouterr().err)
    assert (record["event"], record["level"]) == ("odd bytes: \r\n", "warning")


@pytest.mark.parametrize("text", ["a\rb", "a\x1b[31mb", "a\0b", "a\u2028b"])
def test_what_moves_a_terminal_is_escaped(capfd, logging_restored, text):
    configure_logging("text")
    structlog.get_logger().info("answered", host=text)
    assert text not in capfd.readouterr().err


def test_a_line_that_cannot_be_written_costs_nothing(logging_restored, monkeypatch):
    configure_logging("text")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    structlog.get_logger().info("answered")
    logging.getLogger("demure").warning("answered")


def test_a_line_is_an_event_and_fields(capfd, logging_restored):
    configure_logging("text")
    structlog.get_logger().info("screened", decision="unknown", reason="models_disagree", score=0.63)
    line = capfd.readouterr().err.strip()
    assert line.partition(" ")[2] == "level=info event=screened decision=unknown reason=models_disagree score=0.63"
    assert line.startswith("timestamp=2")


def test_json_is_for_collectors(capfd, logging_restored):
    configure_logging("json")
    structlog.get_logger().info("screened", host="a\nb")
    record = json.loads(capfd.readouterr().err)
    assert (record["event"], record["host"], record["level"]) == ("screened", "a\nb", "info")


def test_a_value_cannot_forge_a_line(capfd, logging_restored):
    configure_logging("text")
    structlog.get_logger().info("answered", host="a\nlevel=error event=forged")
    assert len(capfd.readouterr().err.splitlines()) == 1
