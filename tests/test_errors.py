from __future__ import annotations

import re

import pytest

from demure import errors
from demure.errors import DemureError, UpstreamStatus, by_code

OURS = {code: kind for code, kind in by_code().items() if kind.__module__ == errors.__name__}
RETRYABLE = {
    "overloaded",
    "storage_full",
    "storage_unavailable",
    "timed_out",
    "upstream_timeout",
    "upstream_unreachable",
}


def subclasses(parent: type) -> set[type]:
    return {c for child in parent.__subclasses__() for c in {child, *subclasses(child)}}


def test_the_tree_at_the_top_of_the_module_draws_every_class_with_its_code():
    drawn = dict(re.findall(r"── (\w+)(?: +(\w+)$)?", errors.__doc__, re.MULTILINE))
    classes = {c.__name__: c for c in subclasses(DemureError) if c.__module__ == errors.__name__}
    assert {*drawn} == {*classes}
    for name, code in drawn.items():
        if code and hasattr(classes[name], "code"):
            assert classes[name].code == code


def test_every_leaf_has_a_code_of_its_own():
    leaves = [c for c in subclasses(DemureError) if not c.__subclasses__()]
    assert len({c.code for c in leaves}) == len(leaves) == len(by_code())


@pytest.mark.parametrize(("code", "kind"), OURS.items())
def test_an_error_carries_its_code_and_its_message(code: str, kind: type[DemureError]):
    error = kind("what, and what to do")
    assert (error.code, error.message, str(error)) == (code, "what, and what to do", "what, and what to do")
    assert error.retryable is (code in RETRYABLE)


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (499, False), (500, True), (503, True)])
def test_a_host_that_failed_may_be_asked_again_and_one_that_refused_may_not(status: int, retryable: bool):
    error = UpstreamStatus("what, and what to do", status)
    assert (error.status, error.retryable) == (status, retryable)
