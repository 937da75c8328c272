"""Both clients against servers that are overloaded, broken or not the service: what is asked again, and what it ends in."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from asking import KINDS, SAFE, Connect, answering, askers, judged, problem, told, url_of
from processes import free_port
from upstream import Behaviour, chunked, drips, raw, redirect, resets, says, says_and_waits

import demure.client
from demure.client import (
    Answer,
    AsyncClient,
    Client,
    ClientError,
    NotReached,
    Outcome,
    Refused,
    TooSlow,
    UnexpectedAnswer,
)
from demure.client.request import Reply, error_of
from demure.errors import FetchError, by_code
from demure.web.problems import STATUS, RequestError

PICTURE = b"\x89PNG and so on"
KEY = "demure_0123456789abcdefSECRET"
OK = judged(SAFE)
OVERLOADED = ("503 Service Unavailable", "overloaded")


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with askers(request.param) as connect:
        yield connect


# What is asked again, and comes to an answer.

TRIED_AGAIN = {
    "overloaded": problem(*OVERLOADED, "Retry-After: 1"),
    "without a word of when": problem(*OVERLOADED),
    "too often": problem("429 Too Many Requests", "rate_limited", "Retry-After: 1"),
    "no database": problem("503 Service Unavailable", "storage_unavailable", "Retry-After: 1"),
    "timed out": problem("504 Gateway Timeout", "timed_out"),
    "a proxy's 502": told("<h1>Bad Gateway</h1>", status="502 Bad Gateway"),
    "a proxy's 503": told("<h1>no server</h1>", status="503 Service Unavailable"),
    "a proxy's 504": told("", status="504 Gateway Timeout"),
    "a proxy's 429": told("slow down", status="429 Too Many Requests"),
    "closed without an answer": says(b""),
    "reset": resets(b""),
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": says(raw("Content-Length: 1000", body='{"items": [')),
    "half a chunk": says(chunked(b'{"items": [', end=b"ff\r\n")),
    "no HTTP": says(b"220 mail.example.org ESMTP\r\n"),
}


@pytest.mark.parametrize("first", TRIED_AGAIN.values(), ids=TRIED_AGAIN)
def test_what_may_pass_is_asked_again_with_the_same_request(connect: Connect, first: Behaviour):
    with answering(first, OK) as server:
        asker = connect(url_of(server), KEY)
        assert asker.moderate(PICTURE, id="a").is_safe
        assert len(asker.waits) == 1
        one, two = server.requests
        assert (one.head, one.body) == (two.head, PICTURE)
        assert two.body == PICTURE


def test_the_service_is_waited_for_as_long_as_it_says(connect: Connect):
    with answering(problem(*OVERLOADED, "Retry-After: 7"), problem(*OVERLOADED, "Retry-After: 3"), OK) as server:
        asker = connect(url_of(server))
        asker.moderate(PICTURE)
        first, second = asker.waits
        assert 7 <= first < 8
        assert 3 <= second < 4


# What it ends in: the kind, its code, how often the server was asked, and whether it may help to ask later.

UNEXPECTED = (UnexpectedAnswer, "unexpected_answer", 1, False)
ENDS = {
    "overloaded for ever": (problem(*OVERLOADED, "Retry-After: 1"), Refused, "overloaded", 3, True),
    "a wait past the time": (problem(*OVERLOADED, "Retry-After: 3600"), Refused, "overloaded", 1, True),
    "a proxy's 502 for ever": (told("oh", status="502 Bad Gateway"), NotReached, "not_reached", 3, True),
    "always reset": (resets(b""), NotReached, "not_reached", 3, True),
    "never HTTP": (says(b"220 ESMTP\r\n"), NotReached, "not_reached", 3, True),
    "a full disk": (problem("507 Insufficient Storage", "storage_full"), Refused, "storage_full", 1, True),
    "no key": (problem("401 Unauthorized", "key_required"), Refused, "key_required", 1, False),
    "no such policy": (problem("404 Not Found", "unknown_policy"), Refused, "unknown_policy", 1, False),
    "a fault": (problem("500 Internal Server Error", "internal_error"), Refused, "internal_error", 1, False),
    "a proxy's 500": (told("oh", status="500 Internal Server Error"), *UNEXPECTED),
    "another site": (told("<h1>Hello</h1>"), *UNEXPECTED),
    "another site's 404": (told("", status="404 Not Found"), *UNEXPECTED),
    "an error that is no problem document": (told([1], status="400 Bad Request"), *UNEXPECTED),
    "a code that is no text": (told({"code": 3}, status="400 Bad Request"), *UNEXPECTED),
    "JSON cut short": (told('{"items": ['), *UNEXPECTED),
    "JSON without end": (told("[" * 100_000), *UNEXPECTED),
    "no items": (told({"id": "a"}), *UNEXPECTED),
    "items that are none": (told({"items": ["safe"]}), *UNEXPECTED),
    "no item": (judged(), *UNEXPECTED),
    "two items": (judged(SAFE, SAFE), *UNEXPECTED),
    "a decision of the future": (judged({**SAFE, "decision": "probably"}), *UNEXPECTED),
    "text that says gzip": (told("plain", "Content-Encoding: gzip"), *UNEXPECTED),
    "silence": (says_and_waits(b""), TooSlow, "too_slow", 1, True),
    "half an answer and silence": (says_and_waits(raw("Content-Length: 9")), TooSlow, "too_slow", 1, True),
    "a body that drips": (drips(raw("Content-Length: 999999"), b" "), TooSlow, "too_slow", 1, True),
}


@pytest.mark.parametrize(("behaviour", "kind", "code", "asked", "retryable"), ENDS.values(), ids=ENDS)
def test_an_end_without_an_answer_has_its_error(
    connect: Connect, behaviour: Behaviour, kind: type[ClientError], code: str, asked: int, retryable: bool
):
    with answering(behaviour) as server:
        asker = connect(url_of(server), KEY, timeout_s=0.5 if kind is TooSlow else 35)
        with pytest.raises(kind) as caught:
            asker.moderate(PICTURE)
        assert (caught.value.code, caught.value.retryable) == (code, retryable)
        assert caught.value.message
        assert len(server.requests) == asked or (
            kind is TooSlow and not server.requests
        )  # so slow was this machine itself
        assert len(asker.waits) == asked - 1


def test_nobody_listens(connect: Connect):
    asker = connect(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotReached, match="refused|failed"):
        asker.moderate(PICTURE)
    assert len(asker.waits) == 2


def test_without_retries_it_is_asked_once(connect: Connect):
    with answering(problem(*OVERLOADED, "Retry-After: 1")) as server:
        with pytest.raises(Refused):
            connect(url_of(server), retries=0).moderate(PICTURE)
        assert len(server.requests) == 1


def test_a_refusal_tells_its_status_and_where_the_services_log_tells_more(connect: Connect):
    behaviour = problem("404 Not Found", "unknown_policy", "X-Request-Id: abc")
    with answering(behaviour) as server, pytest.raises(Refused) as caught:
        connect(url_of(server)).moderate(PICTURE)
    assert (caught.value.status, caught.value.request_id) == (404, "abc")
    assert str(caught.value) == "404 unknown_policy: so it is"


# All but those of a URL, which stand in an item and are never a request's.
MEANT = {
    code: kind.retryable
    for code, kind in {**by_code(), "invalid_request": RequestError}.items()
    if code in STATUS and not issubclass(kind, FetchError)
}


@pytest.mark.parametrize(("code", "retryable"), MEANT.items(), ids=MEANT)
def test_a_code_may_help_later_or_not_as_the_service_means_it(code: str, retryable: bool):
    error = error_of(Reply(STATUS[code], {}, json.dumps({"code": code}).encode()))
    assert error is not None
    assert (error.code, error.retryable) == (code, retryable)


def test_codes_of_both_kinds_are_looked_at():
    assert {"rate_limited", "overloaded", "key_required", "invalid_request"} <= {*MEANT}


@pytest.mark.parametrize(
    "answer",
    {
        "the service": problem("413 Request Entity Too Large", "too_large"),
        "a proxy": told("<h1>413</h1>", status="413 Request Entity Too Large"),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_an_image_that_is_too_large_is_unknown_and_not_an_error(connect: Connect, answer: tuple[str, Behaviour]):
    with answering(answer[1]) as server:
        found = connect(url_of(server)).moderate(PICTURE, id="a")
        assert (found.decision, found.reason, found.id) == (Outcome.UNKNOWN, "too_large", "a")
        assert found.error is not None
        assert len(server.requests) == 1


PUBLIC = {kind for kind in vars(httpx2).values() if isinstance(kind, type) and issubclass(kind, Exception)}


@pytest.mark.parametrize(
    "kind",
    sorted(PUBLIC, key=lambda kind: kind.__name__),
    ids=lambda kind: kind.__name__,
)
def test_no_exception_of_the_library_below_comes_through(connect: Connect, kind: type[Exception]):
    def fail(request: httpx2.Request) -> httpx2.Response:
        match kind:
            case httpx2.HTTPStatusError:
                raise kind("it broke", request=request, response=httpx2.Response(500))
            case httpx2.StreamClosed | httpx2.StreamConsumed | httpx2.RequestNotRead | httpx2.ResponseNotRead:
                raise kind()
        raise kind("it broke")

    with pytest.raises(ClientError) as caught:
        connect("http://127.0.0.1:1", transport=httpx2.MockTransport(fail)).moderate(PICTURE)
    assert isinstance(caught.value.__cause__, kind)


class SlowLine(httpx2.BaseTransport):
    """Takes a piece now and then, so that no single wait is long."""

    taken_bytes = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        for piece in request.stream:
            self.taken_bytes += len(piece)
            time.sleep(0.01)
        return httpx2.Response(200, json={"items": [SAFE]})


def test_the_time_is_over_also_while_the_image_is_still_being_sent():
    line, size = SlowLine(), 32 << 20  # 128 pieces, which take it more than a second
    with Client(timeout_s=0.05, transport=line) as client, pytest.raises(TooSlow):
        client.moderate(bytes(size))
    assert line.taken_bytes < size


# The key, and where the images go.


def test_a_redirect_is_not_followed(connect: Connect):
    with answering(OK) as elsewhere:
        behaviour = says(redirect(f"{url_of(elsewhere)}/v1/moderate?token=x", "307 Temporary Redirect"))
        with answering(behaviour) as server:
            with pytest.raises(UnexpectedAnswer, match=f"redirect to '{url_of(elsewhere)}/v1/moderate'"):
                connect(url_of(server), KEY).moderate(PICTURE)
            assert len(server.requests) == 1
        assert elsewhere.requests == []


def test_the_key_is_sent_and_shown_nowhere(connect: Connect, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    shown, sent = [], []
    for behaviour, kind, *_ in ENDS.values():
        with answering(behaviour) as server:
            asker = connect(url_of(server), KEY, timeout_s=0.3 if kind is TooSlow else 35)
            with pytest.raises(kind) as caught:
                asker.moderate(PICTURE)
            sent += [request.headers["Authorization"] for request in server.requests]
        trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        # What is inside the library below is not ours to hide, but of our own frames nothing may tell it.
        ours = [frame for frame in trace.stack if "/demure/" in frame.filename]
        assert ours
        shown += [repr(caught.value), str(caught.value), *(str(frame.locals) for frame in ours)]
        shown += traceback.format_exception(caught.value)
        shown += [repr(asker.client), str(asker.client)]
    assert {*sent} == {f"Bearer {KEY}"}
    assert KEY not in "\n".join(shown)
    assert caplog.records  # the library's own
    assert KEY not in caplog.text


def test_without_a_key_none_is_sent(connect: Connect):
    with answering(OK) as server:
        connect(url_of(server), "").moderate(PICTURE)
        assert "Authorization" not in server.requests[0].headers


def test_a_proxy_of_the_environment_gets_no_image(connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login anna password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering(OK) as proxy, answering(OK) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, url_of(proxy))
        connect(url_of(server), KEY).moderate(PICTURE)
        assert proxy.requests == []
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


BAD_URLS = [
    "127.0.0.1:8080",
    "ftp://host",
    "http://",
    "http://anna:secret@host",
    "http://host/?key=secret",
    "http://host/#secret",
    "http://host:99999",
    "http://host:0",
    f"http://{'a' * 64}.example",
    "",
]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_is_none_is_refused_and_not_shown(kind: type[Client], url: str):
    with pytest.raises(ValueError, match="expected http") as caught:
        kind(url)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "options",
    [{"timeout_s": 0}, {"timeout_s": -1}, {"retries": -1}, {"key": "a b"}, {"key": "a\r\nHost: b"}, {"key": "ü"}],
)
def test_other_wrong_arguments_are_refused(kind: type[Client], options: dict[str, Any]):
    with pytest.raises(ValueError, match="expected") as caught:
        kind(**options)
    assert "Host: b" not in str(caught.value)


def test_a_key_may_end_with_the_line_that_it_was_read_from(connect: Connect):
    with answering(OK) as server:
        connect(url_of(server), f"{KEY}\n").moderate(PICTURE)
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_the_service_may_stand_below_a_path(connect: Connect):
    with answering(OK) as server:
        connect(f"{url_of(server)}/moderation/").moderate(PICTURE, policy="strict")
        assert server.requests[0].head.startswith("POST /moderation/v1/moderate?policy=strict HTTP/1.1\r\n")


# What is sent, and for how long a connection is used.


def asked(server: Any) -> tuple[str, Any]:
    """The path of the last request, and its body: JSON as what it says."""
    request = server.requests[-1]
    body = request.body
    is_json = request.headers["Content-Type"] == "application/json"
    return request.head.split(" ")[1], json.loads(body) if is_json else body


FORMS = {
    "bytes alone": ((PICTURE,), {}, "/v1/moderate", PICTURE),
    "an empty picture": ((b"",), {}, "/v1/moderate", b""),
    "wishes": (
        (PICTURE,),
        {"policy": "strict", "context": "chat", "id": "a&b ü", "review": True},
        "/v1/moderate?policy=strict&context=chat&id=a%26b+%C3%BC&review=true",
        PICTURE,
    ),
    "a name that is no text": ((PICTURE,), {"id": "a\udcff"}, "/v1/moderate?id=a%3F", PICTURE),
    "a subject, which is no matter of queries": (
        (b"abc",),
        {"subject": "user-3", "id": "a", "policy": "strict", "context": "chat", "review": True},
        "/v1/moderate",
        {
            "policy": "strict",
            "review": True,
            "items": [{"base64": "YWJj", "id": "a", "context": "chat", "subject": "user-3"}],
        },
    ),
    "metadata": (
        (b"abc",),
        {"metadata": {"board": "kätzchen"}},
        "/v1/moderate",
        {"items": [{"base64": "YWJj", "metadata": {"board": "kätzchen"}}]},
    ),
    "a URL": (
        ("HTTPS://example.org/a.jpg",),
        {"id": "a"},
        "/v1/moderate",
        {"items": [{"url": "HTTPS://example.org/a.jpg", "id": "a"}]},
    ),
}


@pytest.mark.parametrize(("given", "named", "path", "body"), FORMS.values(), ids=FORMS)
def test_a_request_is_the_leanest_that_says_it_all(
    connect: Connect, given: tuple, named: dict, path: str, body: object
):
    with answering(OK) as server:
        connect(url_of(server)).moderate(*given, **named)
        assert asked(server) == (path, body)
        assert server.requests[-1].headers["User-Agent"] == f"demure/{demure.__version__}"


@pytest.mark.parametrize(("length", "sent"), [(255, 255), (256, 256), (257, 256), (70_000, 256)])
@pytest.mark.parametrize("subject", [None, "user-3"])
def test_of_an_id_256_characters_are_sent(connect: Connect, length: int, sent: int, subject: str | None):
    with answering(OK) as server:
        connect(url_of(server)).moderate(b"abc", id="x" * length, subject=subject)
        path, body = asked(server)
    assert (body["items"][0]["id"] if subject else path.partition("=")[2]) == "x" * sent


# As the limits of docs/api.md: 256 characters, and 4,096 bytes, of which `{"note": ""}` are 12.
FITTING = {"subject": {"subject": "ü" * 256}, "metadata": {"metadata": {"note": "ü" * 2042}}}
EXCESSES = {
    "subject": ({"subject": "ü" * 257}, ValueError, "^subject: found 257 characters; expected 256 at most"),
    "metadata": ({"metadata": {"note": "ü" * 2042 + "x"}}, ValueError, "^metadata: found 4,097 bytes of JSON"),
    "a NUL": ({"metadata": {"note": "\0"}}, ValueError, "^metadata: found a NUL"),
    "no number": ({"metadata": {"note": float("nan")}}, ValueError, "JSON"),
    "a number as id": ({"id": 7}, TypeError, "^id: found int; expected text"),
    "a number as subject": ({"subject": 7}, TypeError, "^subject: found int; expected text"),
}


@pytest.mark.parametrize("named", FITTING.values(), ids=FITTING)
def test_labels_that_fit_are_sent_whole(connect: Connect, named: dict[str, Any]):
    with answering(OK) as server:
        connect(url_of(server)).moderate(PICTURE, **named)
        assert named.items() <= asked(server)[1]["items"][0].items()


@pytest.mark.parametrize(("named", "kind", "message"), EXCESSES.values(), ids=EXCESSES)
def test_labels_that_do_not_fit_are_a_mistake_of_the_caller(
    connect: Connect, named: dict[str, Any], kind: type[Exception], message: str
):
    with answering(OK) as server:
        with pytest.raises(kind, match=message):
            connect(url_of(server)).moderate(PICTURE, **named)
        assert not server.requests


@pytest.mark.parametrize("name", ["policy", "context"])
def test_a_url_that_cannot_be_written_is_refused_before_it_is_sent(connect: Connect, name: str):
    with answering(OK) as server:
        with pytest.raises(Refused) as caught:
            connect(url_of(server)).moderate(PICTURE, **{name: "x" * 70_000})
        assert not server.requests
    assert (caught.value.code, caught.value.retryable) == ("invalid_request", False)


@pytest.fixture
def counting() -> Iterator[tuple[str, list[object]]]:
    """A server that keeps its connections, and a list that has an element for each of them."""
    connections: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"items": [SAFE]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", connections
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_connection_is_used_again(connect: Connect, counting: tuple[str, list[object]]):
    url, connections = counting
    asker = connect(url)
    for _ in range(3):
        assert asker.moderate(PICTURE).is_safe
    assert len(connections) == 1


# What may be given as an image.


class Upload:
    """As a web framework has it: `read` and nothing else."""

    def read(self) -> bytes:
        return PICTURE


def given(kind: str, folder: Path) -> Any:
    path = folder / "picture.png"
    path.write_bytes(PICTURE)
    return {
        "bytes": PICTURE,
        "bytearray": bytearray(PICTURE),
        "memoryview": memoryview(PICTURE),
        "path": path,
        "file": path.open("rb"),
        "buffer": io.BytesIO(PICTURE),
        "upload": Upload(),
    }[kind]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "file", "buffer", "upload"])
def test_the_bytes_of_an_image_come_from_whatever_holds_them(connect: Connect, tmp_path: Path, kind: str):
    with answering(OK) as server:
        connect(url_of(server)).moderate(given(kind, tmp_path))
        assert asked(server) == ("/v1/moderate", PICTURE)


def test_a_file_is_read_from_where_it_stands_and_left_there(connect: Connect):
    file = io.BytesIO(b"head" + PICTURE)
    file.seek(4)
    with answering(OK) as server:
        connect(url_of(server)).moderate(file)
        assert asked(server)[1] == PICTURE
    assert file.tell() == 4


class AwaitedUpload:
    async def read(self) -> bytes:
        return PICTURE


NO_IMAGES = {
    "a path as text": ("picture.png", ValueError, "its Path"),
    "a data URL": ("data:image/png;base64,AAAA", ValueError, "its Path"),
    "an open text": (io.StringIO("picture"), TypeError, "binary"),
    "a number": (3, TypeError, "found int"),
    "nothing": (None, TypeError, "found NoneType"),
    "a file that is awaited": (AwaitedUpload(), TypeError, "await"),
    "a file that is not there": (Path("/nowhere/picture.png"), FileNotFoundError, "nowhere"),
}


@pytest.mark.parametrize(("image", "kind", "message"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_is_a_mistake_of_the_caller(connect: Connect, image: Any, kind: type[Exception], message: str):
    asker = connect("http://127.0.0.1:1")
    with pytest.raises(kind, match=message):
        asker.moderate(image)
    with pytest.raises(kind, match=message):
        asker.moderate_many([image])


def test_many_are_asked_in_batches_and_answered_in_their_order(connect: Connect):
    def items(*numbers: int) -> Behaviour:
        return judged(*({**SAFE, "reason": str(number)} for number in numbers))

    with answering(items(*range(8)), items(8, 9)) as server:
        asker = connect(url_of(server))
        images = [b"%d" % number for number in range(10)]
        answers = asker.moderate_many(iter(images), policy="strict", context="chat", review=True)
        assert [answer.reason for answer in answers] == [str(number) for number in range(10)]
        first, second = (json.loads(request.body) for request in server.requests)
    assert (first["policy"], first["review"], len(first["items"])) == ("strict", True, 8)
    assert second["items"][1] == {"base64": "OQ==", "context": "chat"}
    assert connect("http://127.0.0.1:1").moderate_many([]) == []


def test_many_raise_what_one_would(connect: Connect):
    behaviours = judged(*[SAFE] * 8), problem("401 Unauthorized", "key_required")
    with answering(*behaviours) as server, pytest.raises(Refused):
        connect(url_of(server)).moderate_many([PICTURE] * 9)


# What an answer is.

ITEM = {
    "id": "avatar-7",
    "sha256": "14e9",
    "decision": "unknown",
    "reason": "uncertain",
    "score": 0.5,
    "scores": {"drawings": 0, "porn": 0.5},
    "witnesses": {"open_nsfw": 0.25},
    "media": {
        "type": "image/jpeg",
        "width": 6,
        "height": 4,
        "frames": 3,
        "sampled": 2,
        "worst_frame": 1,
        "codec": "new",
    },
    "remembered": True,
    "timings_ms": {"total": 1.5},
    "review": {"id": "6e0f", "state": "open", "since": "new"},
    "error": {"code": "storage_full", "message": "no room", "hint": "new"},
    "colour": "new",
}


def test_an_answer_has_all_that_the_service_says_and_keeps_what_it_does_not_know():
    answer = Answer.from_dict(ITEM)
    assert answer.decision is Outcome.UNKNOWN
    assert (answer.is_unknown, answer.is_adult, answer.is_safe) == (True, False, False)
    assert (answer.id, answer.sha256, answer.reason, answer.score) == ("avatar-7", "14e9", "uncertain", 0.5)
    assert answer.scores == {"drawings": 0.0, "porn": 0.5}
    assert answer.witnesses == {"open_nsfw": 0.25}
    assert answer.media == demure.client.Media("image/jpeg", 6, 4, 3, 2, 1)
    assert answer.remembered
    assert answer.review == demure.client.Ticket("6e0f", "open")
    assert answer.error == demure.client.Fault("storage_full", "no room")
    assert answer.raw["colour"] == "new"


def test_what_an_older_service_does_not_say_is_none():
    answer = Answer.from_dict(SAFE)
    assert answer.is_safe
    assert (answer.score, answer.scores, answer.media, answer.review, answer.error) == (None,) * 5
    assert answer.remembered is False


MISREAD = {
    "no decision": ({"decision": None}, "decision is missing"),
    "a decision that is none": ({"decision": "maybe"}, "decision is 'maybe'; known: safe, unknown, adult"),
    "a decision of another type": ({"decision": ["safe"]}, "decision is no text"),
    "no reason": ({"reason": None}, "reason is missing"),
    "a score in words": ({"score": "high"}, "score is no number"),
    "scores that are no object": ({"scores": [1]}, "scores is no object"),
    "a score among them in words": ({"scores": {"porn": "high"}}, "porn is no number"),
    "media without a width": ({"media": {"type": "image/png"}}, "width is missing"),
    "remembered in words": ({"remembered": "yes"}, "remembered is neither true nor false"),
    "a review without an id": ({"review": {"state": "open"}}, "id is missing"),
    "an error without a code": ({"error": {"message": "oh"}}, "code is missing"),
}


@pytest.mark.parametrize(("change", "message"), MISREAD.values(), ids=MISREAD)
def test_an_answer_that_cannot_be_read_says_where(change: dict[str, Any], message: str):
    with pytest.raises(UnexpectedAnswer) as caught:
        Answer.from_dict({**ITEM, **change})
    assert message in caught.value.message
    assert "another version" in caught.value.message


RETRYABLE = {
    "timed_out": True,
    "overloaded": True,
    "storage_full": True,
    "upstream_timeout": True,
    "rate_limited": True,
    "not_reached": True,
    "too_slow": True,
    "not_an_image": False,
    "too_large": False,
    "upstream_status": False,
    "key_required": False,
    "unexpected_answer": False,
    "one of the future": False,
}


@pytest.mark.parametrize(("code", "retryable"), RETRYABLE.items())
def test_what_is_wrong_with_an_image_may_pass_or_not(code: str, retryable: bool):
    """By docs/api.md: what another moment may change."""
    assert demure.client.Fault(code, "").retryable is retryable


def test_an_answer_that_did_not_come_is_unknown_and_never_safe():
    for error in (
        NotReached("away"),
        TooSlow("late"),
        UnexpectedAnswer("what"),
        Refused("no", code="x", status=1, retryable=False),
    ):
        answer = Answer.undecided(error, "a")
        assert (answer.decision, answer.reason, answer.id) == (Outcome.UNKNOWN, error.code, "a")
        assert answer.error == demure.client.Fault(error.code, error.message)
        assert Answer.from_dict(answer.raw) == answer


# What it costs to have it.

LOADED = "import sys; {}; print(*{{name.partition('.')[0] for name in sys.modules}})"
HEAVY = {
    "numpy",
    "PIL",
    "onnxruntime",
    "fastapi",
    "starlette",
    "sqlalchemy",
    "pydantic",
    "jinja2",
    "structlog",
}


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_importing_the_client_loads_neither_models_nor_a_server_nor_a_client():
    done = run(LOADED.format("import demure.client"))
    assert not {*done.stdout.split()} & (HEAVY | {"httpx2", "httpcore2"}), done.stderr
    assert "demure" in done.stdout.split()


def test_using_it_loads_no_models_either():
    ask = "from demure.client import Client, NotReached\ntry: Client('http://127.0.0.1:1', retries=0).moderate(b'')\nexcept NotReached: pass\n"
    done = run(f"import sys\n{ask}print(*{{name.partition('.')[0] for name in sys.modules}})")
    loaded = {*done.stdout.split()}
    assert "httpx2" in loaded, done.stderr
    assert not loaded & HEAVY


def test_without_the_library_a_client_says_what_to_install_and_all_else_can_be_imported():
    done = run("import sys; sys.modules['httpx2'] = None; from demure.client import Client, verify_webhook; Client()")
    told = "the client needs httpx2: install demure with its extra client; in a clone: pip install '.[client]'"
    assert done.stderr.strip().endswith(f"ImportError: {told}")


@pytest.mark.parametrize("name", demure.client.__all__)
def test_a_public_name_is_there(name: str):
    assert hasattr(demure.client, name)


def leaves(kind: type[ClientError]) -> Iterator[type[ClientError]]:
    for child in kind.__subclasses__():
        yield from leaves(child) if child.__subclasses__() else [child]


def test_every_error_is_in_the_page_about_the_client():
    page = (Path(__file__).parent.parent / "docs" / "client.md").read_text()
    for kind in leaves(ClientError):
        assert f"`{kind.__name__}`" in page
        assert kind is Refused or f"`{kind.code}`" in page
