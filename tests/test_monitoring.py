"""What deploy/ tells Prometheus and Grafana to ask for is there to be asked, in the scrape of a running service."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from pictures import encode, plain
from prometheus_client.parser import text_string_to_metric_families
from service import serving, settings_for
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph

from demure.errors import (
    FetchError,
    ImageError,
    Overloaded,
    SourceError,
    StorageFull,
    StorageUnavailable,
    TimedOut,
    by_code,
)
from demure.web.problems import STATUS

ROOT = Path(__file__).parent.parent
RULES_FILE = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())
ALERTS = [rule for group in RULES_FILE["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy/grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OPERATING = (ROOT / "docs/operating.md").read_text()

KEY = "demure_a-key-of-this-test"
# What others than demure tell, and the labels that Prometheus puts on all.
FOREIGN = {"up": set(), "node_filesystem_avail_bytes": {"mountpoint"}, "node_filesystem_size_bytes": {"mountpoint"}}
OF_THE_TARGET = {"job", "instance"}
# What one image can be answered with in place of scores: demure.checker says which errors those are.
OF_AN_IMAGE = (ImageError, FetchError, SourceError, TimedOut, Overloaded, StorageFull, StorageUnavailable)
CODES = {code for code, kind in by_code().items() if issubclass(kind, OF_AN_IMAGE)}
# Values that one short scrape need not show, by the label that can have them.
CAN_BE = {
    ("demure_requests_total", "status"): {"200", *map(str, STATUS.values())},
    ("demure_decisions_total", "reason"): {*CODES, "remembered", "near_copy", "memory_disagrees"},
}
WAYS_TO_ASK = ("/predict", "/v1/moderations", "/v1/detect-images", "/classify", "/classify-many")


@dataclass(frozen=True)
class Scrape:
    """The values of each label of each sample, by the sample's name; and the names of all metrics."""

    labels: Mapping[str, Mapping[str, set[str]]]
    families: frozenset[str]


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """Of a service that has judged, fetched, failed, lost a check, and looked after its policies once."""
    folder, policy = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("policies") / "colours.toml"
    add_model(folder, "colour", tiny_graph(5), FIVE)
    add_model(folder, "redness", tiny_graph(2), WITNESS)
    policy.write_text(RULES)
    settings = settings_for(
        tmp_path_factory.mktemp("service"),
        DEMURE_MODELS_DIR=str(folder),
        DEMURE_MODEL="colour",
        DEMURE_POLICY=str(policy),
        DEMURE_API_KEYS=f"operator:admin:{hashlib.sha256(KEY.encode()).hexdigest()}",
    )
    with serving(settings) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]):
            files = {"file": ("picture.png", encode(plain(colour), "PNG"))}
            assert client.post("/v1/moderate", files=files, data={"review": "true"}).status_code == 200
        nowhere = {"items": [{"url": "http://127.0.0.1:1/nothing-listens-there"}]}
        assert client.post("/v1/moderate", json=nowhere).json()["items"][0]["error"]["code"] == "upstream_unreachable"
        page = {"items": [{"url": f"{client.base_url}/health"}]}
        assert client.post("/v1/moderate", json=page).json()["items"][0]["error"]["code"] == "not_an_image"
        for path in WAYS_TO_ASK:
            assert client.post(path, json={}).status_code not in (401, 403, 404, 405), path
        client.app.state.engine.metrics.lost_checks.labels("overloaded").inc()
        return read(wait_for_chores(client))


def wait_for_chores(client: Any) -> str:
    deadline = time.monotonic() + 30
    while True:
        text = client.get("/metrics").raise_for_status().text
        if "demure_promise_broken{" in text and "demure_webhooks{" in text:
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.05)


def read(text: str) -> Scrape:
    labels: dict[str, dict[str, set[str]]] = {}
    # When a counter was made is told beside it, under a name of its own, and only by a single process.
    families = [f for f in text_string_to_metric_families(text) if not f.name.endswith("_created")]
    for sample in itertools.chain.from_iterable(family.samples for family in families):
        values = labels.setdefault(sample.name, defaultdict(set))
        for label, value in sample.labels.items():
            values[label].add(value)
    return Scrape(labels, frozenset(family.name for family in families))


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the expression; Grafana's own variables are put in as it would."""
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']}-{target['refId']}", target["expr"].replace("$__rate_interval", "5m")
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"${variable['name']}", re.fullmatch(r"label_values\((.+), \w+\)", variable["definition"])[1]


def nodes(expression: str) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    return [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]


def grouping(expression: str) -> set[str]:
    """The labels that an aggregation or a join names."""
    found: set[str] = set()
    for node in nodes(expression):
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
            found |= {*modifier.labels}
        if isinstance(node, promql_parser.BinaryExpr) and modifier is not None and modifier.matching is not None:
            found |= {*modifier.matching.labels}
    return found


EXPRESSIONS = pytest.mark.parametrize("expression", [pytest.param(e, id=where) for where, e in expressions()])


@EXPRESSIONS
def test_every_metric_that_is_asked_for_is_in_a_scrape(scrape: Scrape, expression: str):
    assert {selector.name for selector in selectors(expression)} <= {*scrape.labels, *FOREIGN}


@EXPRESSIONS
def test_every_label_that_is_asked_for_is_on_its_metric(scrape: Scrape, expression: str):
    on_any = OF_THE_TARGET.copy()
    for selector in selectors(expression):
        there = {*(FOREIGN.get(selector.name) or scrape.labels.get(selector.name, ())), *OF_THE_TARGET}
        assert {matcher.name for matcher in selector.matchers.matchers} <= there
        on_any |= there
    assert grouping(expression) <= on_any


@EXPRESSIONS
def test_every_value_that_is_asked_for_can_be(scrape: Scrape, expression: str):
    for selector in selectors(expression):
        for matcher in selector.matchers.matchers:
            if matcher.name in OF_THE_TARGET or selector.name in FOREIGN or matcher.value.startswith("$"):
                continue
            assert {*matcher.value.split("|")} <= (
                scrape.labels[selector.name][matcher.name] | CAN_BE.get((selector.name, matcher.name), set())
            )


def test_the_dashboard_shows_every_metric_of_the_service(scrape: Scrape):
    asked = {selector.name for panel in PANELS for t in panel["targets"] for selector in selectors_of(t)}
    shown = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked}
    assert scrape.families <= shown


def selectors_of(target: Mapping[str, str]) -> list[promql_parser.VectorSelector]:
    return selectors(target["expr"].replace("$__rate_interval", "5m"))


def test_every_metric_of_the_service_is_told_of_in_the_documents(scrape: Scrape):
    told = {name.removesuffix("_total") for name in re.findall(r"`(demure_[a-z_]+)", OPERATING)}
    assert told >= scrape.families


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_of_the_form_that_prometheus_reads(alert: Mapping[str, Any]):
    assert {*alert} <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Demure[A-Za-z]+", alert["alert"])
    assert alert["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    assert {*alert["annotations"]} == {"summary", "description"}
    assert re.fullmatch(r"\d+[smhd]", alert.get("for", "0s"))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_tells_only_labels_that_it_has(alert: Mapping[str, Any]):
    told = {*re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values()))}
    assert told <= grouping(alert["expr"]) or {s.name for s in selectors(alert["expr"])} <= {*FOREIGN}


def test_groups_have_names_and_rules_and_no_two_alerts_one_name():
    assert {*RULES_FILE} == {"groups"}
    assert all({*group} == {"name", "rules"} for group in RULES_FILE["groups"])
    names = [alert["alert"] for alert in ALERTS]
    assert len({*names}) == len(names)


def test_the_alert_of_slow_answers_is_of_every_way_to_ask():
    (slow,) = [alert for alert in ALERTS if alert["alert"] == "DemureSlow"]
    (matcher,) = selectors(slow["expr"])[0].matchers.matchers
    assert {*matcher.value.split("|")} == {"/v1/moderate", *WAYS_TO_ASK}


def test_every_alert_is_tried_to_fire():
    """By promtool: alerts_test.yaml says how. What it names is what there is."""
    cases = yaml.safe_load((ROOT / "deploy/alerts_test.yaml").read_text())
    assert cases["rule_files"] == ["alerts.yaml"]
    (firing,) = [case for case in cases["tests"] if case["name"] == "everything is wrong, and everything is told"]
    told = [sample["labels"] for sample in firing["promql_expr_test"][0]["exp_samples"]]
    assert told == [f'{{alertname="{alert["alert"]}"}}' for alert in ALERTS]


def test_every_alert_is_told_of_in_the_documents_and_no_other_is():
    assert {*re.findall(r"^\| `(Demure\w+)` \|", OPERATING, re.MULTILINE)} == {alert["alert"] for alert in ALERTS}


def test_the_dashboard_asks_the_data_source_that_is_chosen_and_no_other():
    first, *queries = DASHBOARD["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    asking = [*queries, *PANELS, *(target for panel in PANELS for target in panel["targets"])]
    assert all(part["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for part in asking)


def test_every_variable_of_the_dashboard_is_one_that_it_has():
    has = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {*re.findall(r"\$\{?([a-z_]+)", json.dumps(DASHBOARD))}
    assert used - {"__rate_interval", "__all"} == has


def test_the_dashboards_panels_have_a_place_and_a_number_of_their_own():
    assert DASHBOARD["schemaVersion"] == 42  # the last of the classic model: Grafana, schemaversion/migrations.go
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    ("panel", "legend"),
    [(panel["title"], t) for panel in PANELS for t in panel["targets"] if "{{" in t["legendFormat"]],
    ids=lambda value: value if isinstance(value, str) else value["refId"],
)
def test_a_legend_names_labels_that_the_line_has(panel: str, legend: Mapping[str, str]):
    named = {*re.findall(r"\{\{(\w+)\}\}", legend["legendFormat"])}
    assert named <= grouping(legend["expr"].replace("$__rate_interval", "5m"))
