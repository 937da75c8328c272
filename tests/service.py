"""The service and an image server, both real and on loopback, for tests that speak HTTP."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import uvicorn
from starlette.types import ASGIApp
from waiting import PATIENCE_S, wait_until

from demure.settings import Settings, read_settings
from demure.web.app import create_app
from demure.web.server import configure

LOOPBACK = {"DEMURE_FETCH_ALLOW_NETWORKS": "127.0.0.0/8", "DEMURE_FETCH_PORTS": "1-65535"}
# For httpx, where all is http: it would read the certificates of all authorities anew for each client, 20 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ImageServer:
    """Serves `files` by path, and remembers what was asked, and whether anything was answered."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.answered = False
        self.delay_s = 0.0
        self._open = threading.Event()
        self._open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer._open.wait(2 * PATIENCE_S)  # longer than a test waits for what should happen meanwhile
                time.sleep(outer.delay_s)
                outer.answered = True
                data = outer.files.get(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(data or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> ImageServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Every request waits until the block ends."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def url(self, path: str, data: bytes | None = None) -> str:
        if data is not None:
            self.files[path] = data
        return f"http://127.0.0.1:{self._server.server_port}{path}"


def settings_for(tmp_path: Path, **variables: str) -> Settings:
    """As the environment would give them, and a data folder that is nobody's."""
    return read_settings({"DEMURE_DATA_DIR": str(tmp_path / "data"), "DEMURE_THREADS": "2", **LOOPBACK, **variables})


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """The application under uvicorn in a thread; gives a client whose base is its address."""
    app = create_app(settings)
    server = uvicorn.Server(configure(app, settings, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the service did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False, verify=NO_TLS) as client:
            client.app = app
            yield client
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """The address of an application under uvicorn in a thread. Returns when nobody is connected any more."""
    config = uvicorn.Config(app, port=0, log_config=None, ws="none", proxy_headers=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        # Then uvicorn sleeps for up to two tenths of a second: the thread ends by itself.
        while thread.is_alive() and (server.server_state.connections or server.server_state.tasks):
            time.sleep(0.001)


def wait_until_nobody_is_admitted(client: httpx.Client) -> None:
    """An answer is out a moment before its places are given back."""
    workers = client.app.state.engine.workers
    wait_until(lambda: not workers.admitted, lambda: f"{workers.admitted} places are held")


def answer_to_head(client: httpx.Client, content_type: str, length: int) -> str:
    """All that comes back for a request whose body is announced and never sent."""
    head = f"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=120) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()
