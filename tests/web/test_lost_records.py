"""A decision that the service could not keep is counted where the operator looks."""

from __future__ import annotations

from pictures import encode, plain

from demure.errors import StorageFull
from demure.keys import make_key

KEY, SECRET = make_key("operator", ["admin"])


def test_a_decision_that_could_not_be_kept_is_answered_and_counted(quick):
    def full(*_: object, **__: object) -> None:
        raise StorageFull("the disk is full")

    with quick(DEMURE_API_KEYS=str(KEY)) as client:
        client.headers["Authorization"] = f"Bearer {SECRET}"
        client.app.state.desk.keep = full
        files = {"file": ("picture.png", encode(plain([0, 255, 0]), "PNG"))}
        (item,) = client.post("/v1/moderate", files=files).json()["items"]
        assert (item["decision"], "error" in item) == ("safe", False)
        assert 'demure_records_lost_total{code="storage_full"} 1.0' in client.get("/metrics").text.splitlines()
