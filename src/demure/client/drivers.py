"""Client and AsyncClient: each does over httpx2 what the protocol's steps say, one by blocking, the other by awaiting."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from demure import __version__
from demure.client import protocol
from demure.client.answer import Answer
from demure.client.errors import NotReached, Refused, TooSlow, Unavailable, UnexpectedAnswer
from demure.client.images import ImageSource, load
from demure.client.protocol import Flow, Load, Patience, Send, Wait
from demure.client.request import Reply, Wishes

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"
_CONNECT_S = 5.0  # so that there is time for another attempt where one of several machines is away
_IDLE_S = 4.0  # the service, uvicorn and gunicorn end an idle connection after five
_PIECE_BYTES = 256 * 1024


class _Settings:
    """What both clients are made with."""

    def __init__(self, url: str, key: str | None, timeout_s: float, retries: int) -> None:
        if timeout_s <= 0 or retries < 0:
            raise ValueError(f"found timeout_s={timeout_s:g}, retries={retries}; expected more than 0, and 0 or more")
        self.url = _checked_url(url)
        self._key = _checked_key(key)
        self._patience = Patience(timeout_s, retries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"  # never the key

    def _connection(self) -> dict[str, Any]:
        """For httpx2's clients. Nothing of the environment counts: no proxy gets to see the images, no netrc replaces the key."""
        httpx2 = _httpx2()
        authorization = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; to read all authorities takes 20 ms
        return {
            "base_url": self.url,
            "headers": {"User-Agent": f"demure/{__version__}", **authorization},
            "trust_env": False,
            "follow_redirects": False,
            "limits": httpx2.Limits(max_connections=None, keepalive_expiry=_IDLE_S),
            "verify": plain if self.url.startswith("http:") else True,
        }


class Client(_Settings):
    """Asks the service, and blocks until it answers.

    One is enough for a process: threads may share it, and it keeps connections open between calls. Make it after a fork, not
    before. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout_s: float = 35.0,
        retries: int = 2,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`timeout_s` is for a whole call, with its `retries` and the waits between; a little more than the service's 30 s.

        Proxies and certificates of the environment are not used: `transport` is for a proxy, a Unix socket or an authority of
        your own, as `httpx2.HTTPTransport(proxy=…, uds=…, verify=…)`. `sleep` waits between two attempts.
        """
        super().__init__(url, key, timeout_s, retries)
        self._http = _httpx2().Client(**self._connection(), transport=transport)
        self._sleep = sleep

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def moderate(
        self,
        image: ImageSource,
        *,
        policy: str | None = None,
        context: str | None = None,
        id: str | None = None,
        subject: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        review: bool = False,
    ) -> Answer:
        """Judge one image: bytes, a Path, an open binary file, or a URL as text, which the service fetches.

        `review` puts an unknown one before a person, and needs a key; `subject` is whose image it is. Of an `id` the first 256
        characters are sent. Raises ClientError, and ValueError for a `subject` or `metadata` that is too long; what is wrong with
        the image itself is in the answer's `error`.
        """
        item = {"id": id, "subject": subject, "metadata": metadata}
        return self._drive(protocol.moderate(image, item, Wishes(policy, context, review), self._patience))

    def moderate_many(
        self,
        images: Iterable[ImageSource],
        *,
        policy: str | None = None,
        context: str | None = None,
        review: bool = False,
    ) -> list[Answer]:
        """Judge several, a few in a request, and answer in their order. `timeout_s` is for each request. Raises ClientError."""
        return self._drive(protocol.moderate_many(images, Wishes(policy, context, review), self._patience))

    def _drive(self, flow: Flow[T]) -> T:
        result: object = None
        while True:
            try:
                step = flow.send(result)
            except StopIteration as done:
                answer: T = done.value
                return answer
            match step:
                case Load():
                    result = load(step.image)
                case Send():
                    result = self._send(step)
                case Wait():
                    result = self._sleep(step.seconds)

    def _send(self, step: Send) -> Reply | Unavailable:
        in_time = _Deadline(step.timeout_s)
        request = step.request
        # In pieces, with a look at the clock between: httpx2's own times are for a single wait, and a slow line has many.
        headers = {"Content-Type": request.content_type, "Content-Length": str(len(request.body))}
        pieces, timeout = in_time(_pieces(request.body)), _timeout(step.timeout_s)
        try:
            posted = self._http.stream("POST", request.target, headers=headers, content=pieces, timeout=timeout)
            with posted as response:
                body = b"".join(in_time(response.iter_bytes()))
        except TooSlow as error:
            return error
        except _lower_errors() as error:
            return to_unavailable(error, step.timeout_s)
        return Reply(response.status_code, response.headers, body)


class AsyncClient(_Settings):
    """The same for asyncio: one for an event loop, whose tasks may share it. Close it, or use it in an `async with`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout_s: float = 35.0,
        retries: int = 2,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """As Client, with an `httpx2.AsyncHTTPTransport`."""
        super().__init__(url, key, timeout_s, retries)
        self._http = _httpx2().AsyncClient(**self._connection(), transport=transport)
        self._sleep = sleep

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def moderate(
        self,
        image: ImageSource,
        *,
        policy: str | None = None,
        context: str | None = None,
        id: str | None = None,
        subject: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        review: bool = False,
    ) -> Answer:
        """As Client.moderate. A file is read in a thread; one whose `read` is awaited is not taken: pass its bytes."""
        item = {"id": id, "subject": subject, "metadata": metadata}
        return await self._drive(protocol.moderate(image, item, Wishes(policy, context, review), self._patience))

    async def moderate_many(
        self,
        images: Iterable[ImageSource],
        *,
        policy: str | None = None,
        context: str | None = None,
        review: bool = False,
    ) -> list[Answer]:
        """As Client.moderate_many."""
        return await self._drive(protocol.moderate_many(images, Wishes(policy, context, review), self._patience))

    async def _drive(self, flow: Flow[T]) -> T:
        result: object = None
        while True:
            try:
                step = flow.send(result)
            except StopIteration as done:
                answer: T = done.value
                return answer
            match step:
                case Load():
                    result = await asyncio.to_thread(load, step.image)
                case Send():
                    result = await self._send(step)
                case Wait():
                    result = await self._sleep(step.seconds)

    async def _send(self, step: Send) -> Reply | Unavailable:
        request, timeout = step.request, _timeout(step.timeout_s)
        headers = {"Content-Type": request.content_type}
        try:
            async with asyncio.timeout(step.timeout_s):
                response = await self._http.post(request.target, headers=headers, content=request.body, timeout=timeout)
        except TimeoutError:
            return _too_slow(step.timeout_s)
        except _lower_errors() as error:
            return to_unavailable(error, step.timeout_s)
        return Reply(response.status_code, response.headers, response.content)


class _Deadline:
    """Lets pieces pass until the time is over. A head that drips in is not seen by it, for httpx2 reads it in one call."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s

    def __call__(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if time.monotonic() > self._until:
                raise _too_slow(self._timeout_s)
            yield piece


def _lower_errors() -> tuple[type[Exception], ...]:
    """All that httpx2 raises: most have one base, and these have none in common."""
    httpx2 = _httpx2()
    return (httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, httpx2.StreamError)


def to_unavailable(error: Exception, timeout_s: float) -> Unavailable:
    """httpx2's exceptions as ours. Raises Refused for a request that cannot be written, UnexpectedAnswer for an answer that
    cannot be read."""
    httpx2 = _httpx2()
    if isinstance(error, httpx2.InvalidURL):  # a policy or a context of 64 KiB, since an `id` is cut
        message = f"the request's own URL cannot be written: {error}"
        raise Refused(message, code="invalid_request", status=414, retryable=False) from error
    of_the_answer = isinstance(error, httpx2.DecodingError | httpx2.TooManyRedirects)
    if of_the_answer or not isinstance(error, httpx2.RequestError):
        raise UnexpectedAnswer(f"the answer cannot be read: {error}") from error
    if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
        ours: Unavailable = _too_slow(timeout_s)
    else:
        ours = NotReached(f"the service cannot be reached: {str(error) or type(error).__name__}")
    ours.__cause__ = error
    return ours


def _too_slow(timeout_s: float) -> TooSlow:
    return TooSlow(f"no answer within {timeout_s:.1f} s (timeout_s)")


def _pieces(body: bytes) -> Iterator[bytes]:
    return (body[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES))


def _timeout(timeout_s: float) -> httpx2.Timeout:
    made: httpx2.Timeout = _httpx2().Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
    return made


def _checked_url(url: str) -> str:
    httpx2 = _httpx2()
    try:
        parts = httpx2.URL(url)
        parts.host.encode("idna")  # as the resolver will; UnicodeError is a ValueError
        is_base = parts.scheme in ("http", "https") and parts.host and (parts.port is None or 0 < parts.port < 65536)
    except (httpx2.InvalidURL, TypeError, ValueError):
        is_base = False
    if not is_base or parts.userinfo or parts.query or parts.fragment:
        # Not shown, for a password may stand in it; nor is the cause.
        raise ValueError(
            "url: expected http(s)://host, if need be with a port or a path, such as http://127.0.0.1:8080"
        )
    return str(parts).rstrip("/")


def _checked_key(key: str | None) -> str | None:
    stripped = (key or "").strip()  # of a file's last line
    if not re.fullmatch(r"[\x21-\x7e]*", stripped):
        raise ValueError("key: expected what `demure keys create` prints: letters, digits and signs, no spaces")
    return stripped or None


def _httpx2() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise ImportError(
            "the client needs httpx2: install demure with its extra client; in a clone: pip install '.[client]'"
        ) from error
    return httpx2
