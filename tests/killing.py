"""Kills a service in the middle of verdicts, again and again, and looks whether one that was acknowledged is gone."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
from processes import free_port, running, serve
from service import NO_TLS
from sqlalchemy import insert, select
from waiting import wait_until

from demure.keys import make_key
from demure.reviews import Judgement, State
from demure.store.database import Database
from demure.store.schema import hashes, reviews

CLIENTS = 4
_JUDGEMENT = Judgement("unknown", "uncertain", 0.5, None, None, None, "tiny", "colours", "1")


class Killed:
    """What was acknowledged, over all the services' lives."""

    def __init__(self, url: str, folder: Path, variables: dict[str, str], seed: int = 1) -> None:
        self.acknowledged: dict[str, str] = {}  # review -> verdict
        self.cut_off = 0  # verdicts that were under way when the service died
        self._url, self._folder = url, folder
        self._random = random.Random(seed)
        key, secret = make_key("killer", ["review"])
        self._variables = {**variables, "DEMURE_DATABASE_URL": url, "DEMURE_API_KEYS": str(key)}
        self._headers = {"authorization": f"Bearer {secret}"}

    def fill(self, items: int) -> None:
        """Put so many into the queue."""
        database = Database(self._url)
        database.migrate()
        rows = [_row(number) for number in range(items)]
        database.write(lambda c: c.execute(insert(reviews), rows))
        database.close()

    def once(self) -> None:
        """Start the service, let clients judge, and kill it a while of its own after they have begun."""
        port, before = free_port(), len(self.acknowledged)
        with running(serve(port), port, self._folder, **self._variables) as process:
            stop = threading.Event()
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [pool.submit(self._judge, port, stop) for _ in range(CLIENTS)]
                wait_until(lambda: len(self.acknowledged) > before or all(client.done() for client in clients))
                time.sleep(self._random.uniform(0.0, 0.35))
                os.kill(process.pid, signal.SIGKILL)
                stop.set()
                for client in clients:
                    client.result()
            process.wait()

    def lost(self) -> dict[str, str]:
        """Those acknowledged verdicts that are not in the database, or not in the memory."""
        database = Database(self._url)
        database.migrate()
        settled = select(reviews.c.id, reviews.c.sha256, reviews.c.verdict).where(reviews.c.state == State.SETTLED)
        kept = {row.id: row for row in database.read(lambda c: c.execute(settled).all())}
        known = {bytes(row.hash): row.verdict for row in database.read(lambda c: c.execute(select(hashes)).all())}
        database.close()
        return {
            review: verdict
            for review, verdict in self.acknowledged.items()
            if review not in kept or kept[review].verdict != verdict or known.get(bytes(kept[review].sha256)) != verdict
        }

    def _judge(self, port: int, stop: threading.Event) -> None:
        with (
            suppress(httpx.TransportError),
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=self._headers, trust_env=False, verify=NO_TLS, timeout=60
            ) as client,
        ):
            while not stop.is_set():
                claimed = client.post("/v1/reviews/claim", json={"lease_s": 1}).json()["review"]
                if claimed is None:
                    return
                verdict = random.Random(claimed["id"]).choice(["adult", "safe"])
                body = {"verdict": verdict, "version": claimed["version"]}
                try:
                    answer = client.post(f"/v1/reviews/{claimed['id']}/verdict", json=body)
                except httpx.TransportError:
                    self.cut_off += 1
                    raise
                if answer.status_code == 200:
                    self.acknowledged[claimed["id"]] = verdict


def _row(number: int) -> dict[str, object]:
    digest = hashlib.sha256(str(number).encode()).digest()
    values = {**vars(_JUDGEMENT), "id": f"{number:024}", "sha256": digest, "kind": "unknown", "state": State.OPEN}
    return {**values, "version": 1, "rank": 1, "priority": 0.0, "opened_ms": number}
