from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from prometheus_client.multiprocess import mark_process_dead

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


COUNT = """
import os, sys
from demure.reviews import Kind
from demure.store.events import Outbox
from demure.store.figures import Waiting
from demure.telemetry import Metrics
metrics = Metrics()
waiting = int(sys.argv[1])
metrics.observe_desk(Waiting({Kind.UNKNOWN: waiting}, waiting * 1000), Outbox(waiting, waiting, None))
metrics.live_missed.labels("balanced", "low").set(waiting)
print(os.getpid(), flush=True)
sys.stdin.read()
print(metrics.render().decode())
"""
ROOT = Path(__file__).parent.parent


def counting(folder: Path, waiting: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, str(waiting)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_a_dead_worker_told_last_is_not_told_for_ever(tmp_path: Path):
    with counting(tmp_path, 7) as living, counting(tmp_path, 900) as dying:
        living.stdout.readline()
        dead = int(dying.stdout.readline())
        said, _ = dying.communicate("")
        assert "demure_reviews_waiting 900.0" in said.splitlines()
        mark_process_dead(dead, str(tmp_path))
        lines = living.communicate("")[0].splitlines()
    assert {
        "demure_reviews_waiting 7.0",
        "demure_reviews_oldest_seconds 7.0",
        'demure_webhooks{state="waiting"} 7.0',
        'demure_webhooks{state="dead"} 7.0',
        'demure_live_missed{bound="low",policy="balanced"} 7.0',
    } <= {*lines}


RELOAD = """
import os, runpy, sys
runpy.run_path("gunicorn.conf.py")
folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
again = runpy.run_path("gunicorn.conf.py")
print(folder, os.path.isdir(folder))
again["on_exit"](None)
print(folder, os.path.isdir(folder))
"""


def reloaded(**variables: str) -> list[str]:
    """Each line: the folder of the counts at the start, and whether it is there; before the end, and after it."""
    given = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    environment = {**given, "WEB_CONCURRENCY": "2", **variables}
    done = subprocess.run(
        [sys.executable, "-c", RELOAD], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_folder_of_several_workers_goes_with_them_after_a_reload_too():
    before, after = reloaded()
    folder = before.removesuffix(" True")
    assert (before, after) == (f"{folder} True", f"{folder} False")


def test_a_folder_that_somebody_named_stays(tmp_path: Path):
    assert reloaded(PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) == [f"{tmp_path} True"] * 2


def test_a_folder_that_another_process_made_is_left_to_it(tmp_path: Path):
    folder = tmp_path / "demure-metrics-old"
    folder.mkdir()
    before, after = reloaded(PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert not before.startswith(str(tmp_path))
    assert after.endswith(" False")
    assert folder.is_dir()


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
