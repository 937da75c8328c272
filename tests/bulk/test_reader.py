"""A source's bytes: files when they are asked for, URLs a few ahead, two of one host at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_judge import Judge
from service import LOOPBACK, ImageServer
from waiting import wait_until

from demure.bulk.job import run_shard
from demure.bulk.reader import Reader
from demure.errors import DemureError, Overloaded, SourceNotFound, TooLarge, UpstreamStatus, UrlNotAllowed
from demure.fetching import PER_HOST
from demure.settings import read_settings

AHEAD = 4


@pytest.fixture
def images() -> Iterator[ImageServer]:
    with ImageServer() as server:
        yield server


def reader(threads: int = 2, max_bytes: int = 100, **variables: str) -> Reader:
    return Reader(max_bytes, read_settings({**LOOPBACK, **variables}).fetch_limits, threads)


def read_all(reader: Reader, sources: list[str]) -> list[bytes | str]:
    """The bytes of each, or the code of what went wrong."""
    found: list[bytes | str] = []
    for source in reader.ahead(sources):
        try:
            found.append(reader.read(source))
        except DemureError as error:
            found.append(error.code)
    return found


def test_files_and_urls_come_in_the_order_given(tmp_path: Path, images: ImageServer):
    sources = []
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
        sources.append(images.url(f"/{number}", b"%d" % number) if number % 3 else str(tmp_path / str(number)))
    with reader() as opened:
        assert read_all(opened, sources) == [b"%d" % number for number in range(20)]


@pytest.mark.parametrize("count", [0, 1, AHEAD, AHEAD + 1])
def test_a_shard_of_any_length_comes_whole(images: ImageServer, count: int):
    urls = [images.url(f"/{number}", b"x") for number in range(count)]
    with reader() as opened:
        assert list(opened.ahead(urls)) == urls


def test_no_more_urls_are_begun_than_may_be_held(images: ImageServer):
    """All that are begun and not given out are held. The one that is asked for is given when four behind it are begun."""
    begun: list[str] = []

    def sources() -> Iterator[str]:
        for number in range(50):
            begun.append(images.url(f"/{number}", b"x"))
            yield begun[-1]

    with reader() as opened:
        given = opened.ahead(sources())
        for asked in range(1, 10):
            opened.read(next(given))
            assert len(begun) == asked + AHEAD
        for begun_before in begun[9:]:
            assert opened.read(begun_before) == b"x"
        assert len(images.asked) == 9 + AHEAD


def test_what_a_file_or_url_cannot_give_is_raised_for_it_alone(tmp_path: Path, images: ImageServer):
    (tmp_path / "large").write_bytes(bytes(101))
    (tmp_path / "limit").write_bytes(bytes(100))
    given = {
        str(tmp_path / "large"): TooLarge.code,
        str(tmp_path / "limit"): bytes(100),
        str(tmp_path / "absent"): SourceNotFound.code,
        str(tmp_path): SourceNotFound.code,
        str(tmp_path / "nul\0"): SourceNotFound.code,
        images.url("/absent"): UpstreamStatus.code,
        "http://10.0.0.1/": UrlNotAllowed.code,
        "http://[": UrlNotAllowed.code,
        "http://\udcff.example.org/": UrlNotAllowed.code,
        images.url("/there", b"there"): b"there",
    }
    with reader() as opened:
        assert read_all(opened, [*given]) == [*given.values()]


def test_a_url_has_the_limit_of_the_fetch(images: ImageServer):
    with reader(DEMURE_MAX_IMAGE_BYTES="1000") as opened:
        urls = [images.url("/limit", bytes(1000)), images.url("/large", bytes(1001))]
        assert read_all(opened, urls) == [bytes(1000), TooLarge.code]


def test_one_host_is_asked_for_two_at_once_by_all_threads(images: ImageServer):
    urls = [[images.url(f"/{thread}-{number}", b"x") for number in range(6)] for thread in range(3)]
    with reader(3) as opened:
        threads = [threading.Thread(target=read_all, args=(opened, some)) for some in urls]
        with images.holding():
            for thread in threads:
                thread.start()
            wait_until(lambda: len(images.asked) >= PER_HOST)
            time.sleep(0.3)  # for a third, which must not come
            assert len(images.asked) == PER_HOST == 2
        for thread in threads:
            thread.join()
        assert len(images.asked) == 18


def test_what_is_under_way_at_the_end_is_dropped(images: ImageServer):
    with images.holding():
        with reader(DEMURE_FETCH_TIMEOUT_S="600") as opened:
            next(opened.ahead([images.url(f"/{number}") for number in range(8)]))
            wait_until(lambda: len(images.asked) >= PER_HOST)
        assert not images.answered  # it waited for none of them
    assert not [thread for thread in threading.enumerate() if thread.name == "fetching"]


def test_without_a_url_no_thread_is_started(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"a")
    with reader() as opened:
        assert read_all(opened, [str(tmp_path / "a")]) == [b"a"]
        assert not [thread for thread in threading.enumerate() if thread.name == "fetching"]


def test_a_url_for_which_there_was_no_socket_is_a_row():
    """Fetcher.fetch raises Overloaded; one of ten million must not end the scan."""

    def read(source: str) -> bytes:
        raise Overloaded("no socket left")

    assert [row["reason"] for row in run_shard(["http://x/"], read, Judge(), {})] == [Overloaded.code]
