"""What the service tells of itself: one log line a request, and metrics that are right under several workers.

Host and content hash are told; query strings, tokens and image bytes never come here.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog
import structlog.stdlib
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from structlog.typing import EventDict, Processor

from demure.errors import FetchError, StorageFull, StorageUnavailable
from demure.printable import printable
from demure.screening import Screening

if TYPE_CHECKING:
    from demure.evaluation.standing import Standing
    from demure.store.events import Outbox
    from demure.store.figures import Waiting

_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds

METRICS_TYPE = CONTENT_TYPE_LATEST


def configure_logging(log_format: str) -> None:
    """Write events to standard error: `text` as key=value for people, `json` for collectors. Libraries' own lines too."""
    common: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
    ]
    write: Processor = structlog.processors.JSONRenderer()
    if log_format == "text":
        common.append(_escape)
        write = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    structlog.configure(
        processors=[*common, write],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
    )
    handler = logging.StreamHandler(_StandardError())
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[remove, write]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for talks_of_the_service in ("demure", "uvicorn.error"):
        logging.getLogger(talks_of_the_service).setLevel(logging.INFO)


class _StandardError:
    """Standard error as it is when a line is written. A line that cannot be written must not cost an answer."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _escape(_logger: object, _name: str, event: EventDict) -> EventDict:
    """What others chose must not write lines of its own; a traceback is ours, and has many."""
    return {k: printable(v) if isinstance(v, str) and k != "exception" else v for k, v in event.items()}


class Metrics:
    """Prometheus metrics of one process; `render` adds those of its sister processes."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("demure_requests", "Requests answered.", ["route", "status"], registry=registry)
        self.request_seconds = Histogram(
            "demure_request_seconds", "Time to answer a request.", ["route"], buckets=_STAGE_BUCKETS, registry=registry
        )
        self.stage_seconds = Histogram(
            "demure_stage_seconds",
            "Time of one stage of one image.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.decisions = Counter("demure_decisions", "Images by decision.", ["decision", "reason"], registry=registry)
        self.fetch_failures = Counter("demure_fetch_failures", "URLs that gave no image.", ["code"], registry=registry)
        self.restarts = Counter("demure_sandbox_restarts", "Decoders lost to a crash or the clock.", registry=registry)
        self.admitted = Gauge(
            "demure_images_admitted", "Images at work or waiting.", registry=registry, multiprocess_mode="livesum"
        )
        self.capacity = Gauge(
            "demure_images_capacity", "Images that fit in.", registry=registry, multiprocess_mode="livesum"
        )

        # Every process tells the same of them; one that is dead tells nothing any more (gunicorn.conf.py marks it so).
        self.reviews_waiting = Gauge(
            "demure_reviews_waiting", "Items that wait for a person.", registry=registry, multiprocess_mode="livemax"
        )
        self.reviews_oldest = Gauge(
            "demure_reviews_oldest_seconds",
            "How long the first has waited.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.webhooks = Gauge(
            "demure_webhooks", "Events to be sent, by state.", ["state"], registry=registry, multiprocess_mode="livemax"
        )

        self.lost_checks = Counter(
            "demure_spot_checks_lost", "Spot checks that did not get into the queue.", ["code"], registry=registry
        )
        self.lost_records = Counter(
            "demure_records_lost", "Decisions and senders that were not kept.", ["code"], registry=registry
        )
        for error in (StorageFull, StorageUnavailable):
            self.lost_records.labels(
                error.code
            )  # from the start: a series that begins with its first count hides that one

        def of_policy(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(name, about, ["policy", *labels], registry=registry, multiprocess_mode="livemostrecent")

        self.live_missed = of_policy("demure_live_missed", "Of adult images, decided safe.", "bound")
        self.live_false_alarm = of_policy("demure_live_false_alarm", "Of safe images, decided adult.", "bound")
        self.spot_checks = of_policy("demure_spot_checks", "Decisions chosen by lot for review.", "state")
        self.promise_broken = of_policy("demure_promise_broken", "1 where the live rate left the promise.", "promise")
        self.score_drift = of_policy(
            "demure_score_drift", "How far scores are from those that bounds were chosen from."
        )
        self.score_drift_allowed = of_policy("demure_score_drift_allowed", "How far they may be.")
        self._told: dict[tuple[Any, ...], float] = {}

    def observe_policies(self, standings: Sequence[Standing]) -> None:
        """A number that is not known, or not any more, is NaN. Of several versions of a policy the first counts."""
        told = {key: value for standing in reversed(standings) for key, value in self._of(standing)}
        for (gauge, *labels), value in {**dict.fromkeys(self._told, math.nan), **told}.items():
            gauge.labels(*labels).set(value)
        self._told = told

    def _of(self, standing: Standing) -> Iterator[tuple[tuple[Any, ...], float]]:
        """Each gauge with its labels, and its value."""
        name = standing.policy
        for kept, rate in ((standing.missed, self.live_missed), (standing.false_alarm, self.live_false_alarm)):
            yield (rate, name, "estimate"), math.nan if kept.live.value is None else kept.live.value
            yield (rate, name, "low"), kept.live.low
            yield (rate, name, "high"), kept.live.high
            yield (self.promise_broken, name, kept.name), int(kept.is_broken)
        yield (self.spot_checks, name, "chosen"), standing.checks.chosen
        yield (self.spot_checks, name, "judged"), standing.checks.judged
        drift = standing.drift
        yield (self.score_drift, name), math.nan if drift is None else drift.distance
        yield (self.score_drift_allowed, name), math.nan if drift is None else drift.allowed

    def observe_desk(self, waiting: Waiting, outbox: Outbox) -> None:
        self.reviews_waiting.set(waiting.total)
        self.reviews_oldest.set((waiting.oldest_ms or 0) / 1000)
        self.webhooks.labels("waiting").set(outbox.waiting)
        self.webhooks.labels("dead").set(outbox.dead)

    def observe_decision(self, screening: Screening) -> None:
        self.decisions.labels(screening.decision, screening.reason).inc()

    def observe_work(self, screening: Screening) -> None:
        """The time of each stage, and a URL that gave nothing."""
        for stage, took_ms in screening.timings_ms.items():
            if stage != "total":
                self.stage_seconds.labels(stage).observe(took_ms / 1000)
        if isinstance(screening.error, FetchError):
            self.fetch_failures.labels(screening.error.code).inc()

    def render(self) -> bytes:
        """The text exposition format."""
        registry = self._registry
        # gunicorn.conf.py names a folder that the workers share; the client library looks for it when it is imported.
        if values.ValueClass is not values.MutexValue:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
