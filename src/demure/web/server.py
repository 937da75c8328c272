"""`demure serve`: one process, under uvicorn."""

from __future__ import annotations

import errno
import signal
import socket

import structlog
import uvicorn
from fastapi import FastAPI

from demure.errors import InvalidSetting
from demure.settings import Settings
from demure.store.keys import Keys
from demure.web.app import create_app
from demure.web.auth import is_loopback
from demure.web.connections import backlog, impatient, max_connections, open_files

GRACE_S = 30  # for what is in flight when we are told to stop


def serve(settings: Settings, host: str, port: int) -> None:
    """Run until SIGINT or SIGTERM. Raises SetupError before anything listens."""
    _refuse_a_taken(port, host)
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


def _refuse_a_taken(port: int, host: str) -> None:
    """Before models are loaded and a link is printed. Whatever else is wrong with the address, uvicorn says."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                # As asyncio binds: not hindered by connections that were closed lately, nor by the other IP's port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is taken: stop what listens there, or choose another by --port"
            raise InvalidSetting(message) from error


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
