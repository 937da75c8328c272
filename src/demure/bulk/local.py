"""A scan on one machine: threads that take shards from a ledger, as many as there are processors."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from demure.bulk.job import Judge, Row, run_shard
from demure.bulk.ledger import Ledger, Shard
from demure.bulk.reader import Reader
from demure.policy import Outcome

SHARD_IMAGES = 32  # what a kill may cost, for each thread
FAILED = "failed"  # beside the decisions, among counts
_IDLE_S = 0.05  # while the listing is behind


class Stopped(Exception):
    """Somebody asked to stop; what was finished is in the ledger."""


class LocalScan:
    """Runs once. `stop` may be called from anywhere, a signal's handler included."""

    def __init__(
        self,
        ledger: Ledger,
        reader: Reader,
        judge: Judge,
        *,
        threads: int,
        only: Collection[Outcome] = (),
        on_progress: Callable[[Counter[str]], None] = lambda _: None,
        shard_images: int = SHARD_IMAGES,
    ) -> None:
        """`only` are the decisions whose rows are wanted, without it all. `on_progress` is told what a shard added, by decision
        and `failed`, in whichever thread finished it, one at a time."""
        self._ledger = ledger
        self._reader = reader
        self._judge = judge
        self._threads = threads
        self._only = {str(outcome) for outcome in only}
        self._on_progress = on_progress
        self._shard_images = shard_images
        self._board = _Board(ledger)
        self._stop = threading.Event()
        self._telling = threading.Lock()
        self._taking = threading.Lock()
        self._listed = threading.Event()
        self._error: BaseException | None = None

    def stop(self) -> None:
        self._stop.set()

    def run(self, sources: Iterable[str] | None) -> None:
        """Until all is done. `sources` is None where all of them are in the ledger.

        Raises what the listing, the installation or the ledger raise, and Stopped.
        """
        if sources is None:
            self._listed.set()
        works = [
            threading.Thread(target=self._guarded, args=(self._work,), name=f"scan-{n}") for n in range(self._threads)
        ]
        if sources is not None:
            works.append(threading.Thread(target=self._guarded, args=(lambda: self._list(sources),), name="scan-list"))
        for thread in works:
            thread.start()
        for thread in works:
            thread.join()
        if self._error is not None:
            raise self._error
        if self._stop.is_set():
            raise Stopped

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised again by `run`
            self._error = self._error or error
            self._stop.set()

    def _list(self, sources: Iterable[str]) -> None:
        self._ledger.add(sources, self._shard_images, self._stop)
        self._listed.set()

    def _work(self) -> None:
        while not self._stop.is_set():
            all_listed = self._listed.is_set()  # asked first: what was listed until then can be taken
            shard = self._ledger.take()
            if shard is not None:
                self._run(shard)
            elif all_listed:
                return
            else:
                self._stop.wait(_IDLE_S)

    def _run(self, shard: Shard) -> None:
        with self._board.shard() as known:
            rows, counts = list[Row](), Counter[str]()
            for row in run_shard(self._reader.ahead(shard.sources), self._reader.read, self._judge, known):
                if self._stop.is_set():
                    return
                counts[FAILED if "error" in row else row["decision"]] += 1
                if not self._only or row["decision"] in self._only:
                    rows.append(row)
            self._ledger.finish(shard, rows, counts, known.new)
        with self._telling:
            self._on_progress(counts)


class _Board:
    """What is known of bytes, and which thread is judging which: of two that meet the same bytes at once, one waits."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.changed = threading.Condition()
        self.judging: set[bytes] = set()
        self.unsaved: dict[bytes, Row] = {}  # of shards that are not finished

    def shard(self) -> _ShardAnswers:
        return _ShardAnswers(self)


class _ShardAnswers:
    """A shard's view of it. As a context manager it lets go of all at the end."""

    def __init__(self, board: _Board) -> None:
        self.new: dict[bytes, Row] = {}
        self._board = board
        self._mine: bytes | None = None

    def get(self, digest: bytes) -> Row | None:
        """The row of these bytes; where there is none, they are this thread's to judge."""
        board = self._board
        with board.changed:
            self._let_go()
            while digest in board.judging:
                board.changed.wait()
            found = board.unsaved.get(digest) or board.ledger.answer(digest)
            if found is None:
                board.judging.add(digest)
                self._mine = digest
            return found

    def __setitem__(self, digest: bytes, row: Row) -> None:
        with self._board.changed:
            self.new[digest] = self._board.unsaved[digest] = row
            self._let_go()

    def __enter__(self) -> _ShardAnswers:
        return self

    def __exit__(self, *_: object) -> None:
        with self._board.changed:
            self._let_go()
            for digest in self.new:
                self._board.unsaved.pop(digest, None)

    def _let_go(self) -> None:
        if self._mine is not None:
            self._board.judging.discard(self._mine)
            self._mine = None
            self._board.changed.notify_all()
