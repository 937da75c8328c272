"""`demure serve`: one process, under uvicorn."""

from __future__ import annotations

import signal

import structlog
import uvicorn
from fastapi import FastAPI

from demure.settings import Settings
from demure.store.keys import Keys
from demure.web.app import create_app
from demure.web.auth import is_loopback
from demure.web.connections import backlog, impatient, max_connections, open_files

GRACE_S = 30  # for what is in flight when we are told to stop


def serve(settings: Settings, host: str, port: int) -> None:
    """Run until SIGINT or SIGTERM. Raises SetupError before anything listens."""
    app = create_app(settings)
    any_key = bool(settings.api_keys) or Keys(app.state.desk.database).read() is not None
    if not (is_loopback(host) or any_key or settings.public):
        structlog.get_logger().warning("no key is configured: others than this machine are answered 401", host=host)
    # uvicorn ends in good order and then raises the signal again; to have been told to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    app.state.base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server = uvicorn.Server(configure(app, settings, host, port))
    server.run()
    if not server.started:
        raise SystemExit(3)  # its log has said why


def configure(app: FastAPI, settings: Settings, host: str, port: int) -> uvicorn.Config:
    files = open_files(settings.max_connections)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=impatient(max_connections(settings.max_connections, files), settings.client_timeout_s),
        ws="none",
        backlog=backlog(files),
        proxy_headers=False,  # who may is decided by the connection itself
        server_header=False,
        access_log=False,  # ours says more, and no query strings
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
    )
