"""What the OpenAPI document says beyond what the routes say themselves: the three forms of a body, and every error."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from demure.keys import Scope
from demure.web.auth import OPEN, needed_scope
from demure.web.problems import PROBLEM_TYPE, STATUS
from demure.web.schemas import ModerateRequest, Problem

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
# Every request may meet these.
_ANY = {"key_required", "not_permitted", "rate_limited", "internal_error", "storage_unavailable"}
_BODY = {
    "invalid_request",
    "too_large",
    "unsupported_media_type",
    "unknown_policy",
    "overloaded",
    "timed_out",
    "storage_unavailable",
}
_IMAGE = {
    "invalid_request",
    "too_large",
    "overloaded",
    "timed_out",
    "empty_body",
    "not_an_image",
    "unsupported_format",
    "undecodable",
    "too_many_pixels",
    "too_many_frames",
    "url_not_allowed",
    "too_many_redirects",
    "upstream_status",
    "upstream_encoding",
    "upstream_protocol_error",
    "upstream_unreachable",
    "upstream_bad_redirect",
    "upstream_timeout",
}
_GROUPS = {"any": _ANY, "moderate": _ANY | _BODY, "image": _ANY | _IMAGE, "dispute": _ANY | _BODY | _IMAGE}


def problems(group: str, *more: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: one entry a status, naming its codes. `group` is any, moderate, image or dispute."""
    by_status: dict[int, list[str]] = {}
    for code in sorted({*_GROUPS[group], *more}):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: {
            "description": "Problem: " + ", ".join(f"`{code}`" for code in codes),
            "content": {PROBLEM_TYPE: {"schema": _PROBLEM}},
        }
        for status, codes in sorted(by_status.items())
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """For a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _query(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": text}


def _moderate_schema() -> dict[str, Any]:
    """With the item written out: a reference would lead nowhere from here."""
    schema = ModerateRequest.model_json_schema()
    schema["properties"]["items"]["items"] = schema.pop("$defs")["ModerateItem"]
    return schema


_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {
        "file": {"type": "array", "minItems": 1, "items": _BINARY, "description": "one or more, under any name"},
        "policy": {"type": "string"},
        "context": {"type": "string"},
        "subject": {"type": "string", "maxLength": 256},
        "review": {"type": "string", "enum": ["true", "false"]},
        "keep": {"type": "string", "enum": ["true", "false"]},
    },
    "required": ["file"],
    "additionalProperties": False,  # but for files, under whatever name: a schema cannot tell a file from a text
}
MODERATE_BODY: dict[str, Any] = {
    "parameters": [
        _query("policy", "with a raw image: the policy's name"),
        _query("context", "with a raw image: what it is for, to choose the policy by (DEMURE_CONTEXTS)"),
        _query("id", "with a raw image: your own name for it, given back"),
        _query("subject", "with a raw image: whose it is, to find it when it is to be forgotten"),
        _query("review", "with a raw image: true asks a person where the machine cannot tell"),
        _query("keep", "with a raw image: false leaves nothing of it in the database; not with review"),
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _moderate_schema()},
            "multipart/form-data": {"schema": _FORM},
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    },
}


def describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The document, made once, with the one way to show a key. Some operations need none from this machine itself."""

    @cache
    def document() -> dict[str, Any]:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        key = {"type": "http", "scheme": "bearer", "description": "a key that `demure keys create` made"}
        components = made.setdefault("components", {})
        components["securitySchemes"] = {"key": key}
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        for path, operations in made["paths"].items():
            for operation in operations.values():
                needed = needed_scope(path)
                operation["security"] = [{"key": []}] if needed is not Scope.CLASSIFY else [{}, {"key": []}]
                if path in OPEN:
                    operation["security"] = []
        return made

    return document
