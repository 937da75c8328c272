"""How `gunicorn app:app` runs demure: read by gunicorn from the folder it is started in."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

pythonpath = "src"  # a platform installs requirements.txt, and not this package
worker_class = "asgi"
bind = f"0.0.0.0:{os.environ.get('PORT', '8080')}"  # who may is decided per request, by keys
graceful_timeout = 30
timeout = 60
keepalive = 5
control_socket_disable = True  # it would write to the home folder, which may be read-only
# One worker uses all the cores. For more, set DEMURE_THREADS to the cores divided by the workers.
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))

# Before the client library is imported: counts of several workers are kept in files that each may read. In memory where there is
# a place for that: the library maps the files, and a full disk under a mapped file kills who writes to it.
# HUP reads this file anew in the same process: what the first reading made is remembered where the second one finds it. A process
# that USR2 started may have inherited the name of a folder that the old one takes away: it makes its own.
PREFIX = "demure-metrics-"
made = getattr(sys, "demure_metrics", None)
named = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
if workers > 1 and not made and (not named or Path(named).name.startswith(PREFIX)):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  mkdtemp makes a folder of our own there
    made = os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.demure_metrics = tempfile.mkdtemp(prefix=PREFIX, dir=memory)


def child_exit(_server, worker):
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)


def on_exit(_server):
    if made:  # never a folder that is somebody else's
        shutil.rmtree(made, ignore_errors=True)
