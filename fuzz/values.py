"""What schemathesis cannot guess from the document: URLs that answer, pictures, and the names of models and policies."""

from __future__ import annotations

from typing import Any

import schemathesis

URLS = ["http://example.com/a.png", "https://example.com/b?c=d", "http://127.0.0.1/", "ftp://example.com/"]
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # one pixel
)


@schemathesis.hook
def map_query(_: object, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Two in three values stay as they were made."""
    return {name: chosen(name, value) for name, value in query.items()} if isinstance(query, dict) else query


@schemathesis.hook
def map_path_parameters(_: object, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    return {k: chosen("model", v) for k, v in parameters.items()} if isinstance(parameters, dict) else parameters


@schemathesis.hook
def map_body(_: object, body: Any) -> Any:
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        return body
    items = [{k: chosen(k, v) for k, v in item.items()} if isinstance(item, dict) else item for item in body["items"]]
    return {**{k: chosen(k, v) for k, v in body.items()}, "items": items}


CHOICES = {
    "url": URLS,
    "base64": [PICTURE, f"data:image/png;base64,{PICTURE}", "aGVsbG8="],
    "model": ["colour", "redness"],
    "policy": ["strict", "colours"],
}


def chosen(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name not in CHOICES or hash(value) % 3:
        return value
    return CHOICES[name][hash(value) // 3 % len(CHOICES[name])]


@schemathesis.hook
def filter_case(_: object, case: schemathesis.Case) -> bool:
    """All that a form can hold is text: one of wrong types arrives as a right one."""
    is_wrong = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.NEGATIVE
    return not (is_wrong and case.media_type == "multipart/form-data")
