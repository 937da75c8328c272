"""/docs: the OpenAPI document as one plain page. Nothing on it comes from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from demure.web.problems import STATUS

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid #8886; padding-top: 1rem; }
h2 code { font-size: 1.15rem; }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
"""
_EXAMPLES = {
    "/predict": "curl -X POST 'http://localhost:8080/predict?url=https://example.org/picture.jpg'",
    "/health": "curl http://localhost:8080/health",
    "/v1/detect-images": "curl --form image0=@picture.jpg http://localhost:8080/v1/detect-images",
    "/v1/moderations": (
        'curl --json \'{"input": [{"type": "image_url", "image_url": {"url": "https://example.org/picture.jpg"}}]}\''
        " http://localhost:8080/v1/moderations"
    ),
    "/classify": "curl --form image=@picture.jpg http://localhost:8080/classify",
    "/classify-many": "curl --form images=@picture.jpg --form images=@another.png http://localhost:8080/classify-many",
    "/v1/moderate": (
        'curl --json \'{"items": [{"url": "https://example.org/picture.jpg"}]}\' http://localhost:8080/v1/moderate\n'
        "curl --form file=@picture.jpg --form policy=strict http://localhost:8080/v1/moderate\n"
        "curl --data-binary @picture.jpg -H 'Content-Type: image/jpeg' http://localhost:8080/v1/moderate"
    ),
}


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(render(request.app.openapi()), headers=_HEADERS)


def render(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    operations = [_operation(m, path, op) for path, methods in document["paths"].items() for m, op in methods.items()]
    codes = "".join(
        f"<tr id='{escape(c)}'><td><code>{escape(c)}</code></td><td>{s}</td></tr>" for c, s in STATUS.items()
    )
    info = document["info"]
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])}: the interface</title><style>{_STYLE}</style></head>
<body><h1>{escape(info["title"])} {escape(info["version"])}</h1>
<p>{escape(info["description"])} As a document for programs: <a href="/openapi.json"><code>/openapi.json</code></a>.</p>
{"".join(operations)}
<h2>Error codes</h2>
<p>An error is <code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>; an image's own error stands in
its item.</p>
<table><tr><th>code</th><th>status</th></tr>{codes}</table>
</body></html>
"""


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    summary = _codes(operation.get("description", operation.get("summary", ""))).replace("\n\n", "</p><p>")
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td><td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {})
    example = _EXAMPLES.get(path, "")
    return f"""<h2><code>{escape(method.upper())} {escape(path)}</code></h2>
<p>{summary}</p>
{f"<table>{parameters}</table>" if parameters else ""}
{f"<p>Body: {', '.join(f'<code>{escape(kind)}</code>' for kind in body)}</p>" if body else ""}
{f"<pre>{escape(example)}</pre>" if example else ""}
{_answer(operation)}"""


def _answer(operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td>{_codes(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return f"<details><summary>Answers</summary><table>{rows}</table></details>"


def _codes(text: str) -> str:
    """Backquoted words as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
