from __future__ import annotations

from dataclasses import replace

import pytest
from findings import told

from demure.doctor import (
    policies,
)
from demure.promise import Promise
from demure.settings import read_settings

NO_PROMISE = (
    "note",
    "balanced decides where nothing else is asked for, and promises nothing about its errors",
    "label some of your own images: demure evaluate tells its errors, demure calibrate makes bounds that keep a promise",
)
SHIPPED = "balanced, strict, permissive, original"
POLICIES = {
    "as-they-come": ({}, [NO_PROMISE]),
    "a-model-that-is-not-there": (
        {"DEMURE_MODEL": "yolo"},
        [
            (
                "problem",
                "DEMURE_MODEL=yolo is not known",
                "choose one of inception_v3, mobilenet_v2, mobilenet_v2_140, mobilenet_v2_140_int8",
            ),
            NO_PROMISE,
        ],
    ),
    "a-witness-as-model": (
        {"DEMURE_MODEL": "open_nsfw"},
        [
            (
                "problem",
                "DEMURE_MODEL=open_nsfw is a witness, and no five-class model",
                "choose one of inception_v3, mobilenet_v2, mobilenet_v2_140, mobilenet_v2_140_int8",
            ),
            NO_PROMISE,
        ],
    ),
    "a-policy-that-is-not-there": (
        {"DEMURE_POLICY": "lenient"},
        [("problem", "DEMURE_POLICY=lenient: no such policy", f"choose one of {SHIPPED}")],
    ),
    "a-context-of-none": (
        {"DEMURE_CONTEXTS": "avatar=strict,chat=lenient"},
        [("problem", "DEMURE_CONTEXTS: chat=lenient: no such policy", f"choose one of {SHIPPED}"), NO_PROMISE],
    ),
    "a-file-that-is-not-there": (
        {"DEMURE_POLICY": "/nowhere/ours.toml"},
        [
            (
                "problem",
                "'/nowhere/ours.toml': cannot be read ([Errno 2] No such file or directory: '/nowhere/ours.toml')",
                "mend that file, or take it out of DEMURE_POLICIES_DIR or DEMURE_POLICY",
            )
        ],
    ),
}


@pytest.mark.parametrize(("environment", "expected"), POLICIES.values(), ids=POLICIES)
def test_policy(environment: dict[str, str], expected: list[tuple[str, ...]]):
    assert told(policies.check_policies(read_settings(environment))) == expected


def promised(model: str) -> Promise:
    histogram = (1,) * 20
    return Promise("v", model, 0.01, 0.005, 0.95, 900, 900, "0" * 64, 0.05, 0.1, histogram, histogram)


def test_a_promise_is_told_with_its_terms_and_one_of_another_model_holds_nothing():
    known = policies.known_policies(frozenset({"open_nsfw"}), None, "balanced")
    ours = replace(known["balanced"], name="ours", promise=promised("mobilenet_v2_140"))
    other = replace(known["strict"], name="other", promise=promised("inception_v3"))
    known |= {"/etc/ours.toml": ours, "ours": ours, "other": other}
    kept = (
        "ok",
        "ours promises missed <= 0.01 and false alarms <= 0.005, with a confidence of 0.95, judged by mobilenet_v2_140",
    )
    void = (
        "other was calibrated with inception_v3; with mobilenet_v2_140 it promises nothing",
        "calibrate it again, or set DEMURE_MODEL=inception_v3",
    )
    assert told(policies.judge_promises(known, "/etc/ours.toml", "mobilenet_v2_140")) == [kept, ("note", *void)]
    assert told(policies.judge_promises(known, "other", "mobilenet_v2_140")) == [kept, ("problem", *void)]
