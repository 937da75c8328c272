"""What every answer to a page's reader tells the browser: run nothing but our own, show it in no frame, keep no copy."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demure.web.auth import is_page

# connect-src: what our scripts may fetch. frame-ancestors: nobody may lay a page of theirs over ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The try-it page shows pictures out of the browser's own memory (blob:). Its forms are read by its script: with a browser that
# runs none, or half of one, a key must not be sent anywhere.
TRY_PAGE_POLICY = CONTENT_SECURITY_POLICY.replace("img-src 'self'", "img-src 'self' blob:").replace(
    "form-action 'self'", "form-action 'none'"
)
_POLICY = b"content-security-policy"
_HEADERS = {
    _POLICY: CONTENT_SECURITY_POLICY.encode(),
    # Not no-referrer: with it a browser sends `Origin: null` with our own forms (Fetch standard, "append a request Origin
    # header"), and that header is how we know them. Other sites learn nothing by this one either.
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class PageHeaders:
    """Goes around everything else, the envelope too: an error's answer has them as well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        ours = {**_HEADERS, _POLICY: TRY_PAGE_POLICY.encode()} if scope["path"] == "/" else _HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in _HEADERS]
                if all(name.lower() != b"cache-control" for name, _ in given):  # static files say otherwise
                    given.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*given, *ours.items()]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
