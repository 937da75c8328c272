from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from waiting import PATIENCE_S, wait_until

from demure.errors import Overloaded
from demure.workers import CALM_S, Workers


def test_what_does_not_fit_is_refused_and_a_place_is_given_back():
    workers = Workers(threads=1, max_waiting=2)
    with workers.admit(), workers.admit(2):
        with pytest.raises(Overloaded, match="the limit is 3"), workers.admit():
            pass
        assert workers.admitted == 3
    assert workers.admitted == 0
    with workers.admit(3):
        pass
    workers.close()


def test_a_batch_larger_than_all_places_is_let_in_when_nobody_else_is_there():
    workers = Workers(threads=1, max_waiting=2)
    with workers.admit(32):
        assert workers.admitted == 32
    with workers.admit() as places:
        places.grow(31)
        assert workers.admitted == 32
    with workers.admit(), workers.admit() as places, pytest.raises(Overloaded, match="1 images of others"):
        places.grow(31)
    assert workers.admitted == 0
    workers.close()


def test_a_place_is_given_back_when_the_work_fails():
    workers = Workers(threads=1, max_waiting=0)
    with pytest.raises(ValueError, match="broken"), workers.admit():
        raise ValueError("broken")
    assert workers.admitted == 0
    workers.close()


def test_the_number_admitted_is_told_when_it_changes():
    told = []
    workers = Workers(1, 5, told.append)
    with workers.admit(2), workers.admit():
        pass
    assert told == [2, 3, 2, 0]
    workers.close()


def test_what_a_cancelled_call_held_is_let_go_at_once():
    class Image:
        pass

    release = threading.Event()

    async def main() -> None:
        workers = Workers(threads=1, max_waiting=5)
        first = asyncio.ensure_future(workers.run(release.wait))
        image = Image()
        kept = weakref.ref(image)
        second = asyncio.ensure_future(workers.run(functools.partial(id, image)))
        del image
        await asyncio.sleep(0.05)
        assert kept() is not None
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert kept() is None
        release.set()
        await first
        workers.close()

    asyncio.run(main())


def test_no_more_run_at_a_time_than_there_are_threads():
    at_work, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2, timeout=PATIENCE_S)

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        both.wait()  # twelve calls, two at a time
        time.sleep(0.01)
        with lock:
            at_work -= 1

    async def main() -> None:
        workers = Workers(threads=2, max_waiting=20)
        await asyncio.gather(*(workers.run(work) for _ in range(12)))
        workers.close()

    asyncio.run(main())
    assert most == 2


def test_work_that_nobody_waits_for_any_more_is_not_begun():
    begun = []
    release = threading.Event()

    async def main() -> None:
        workers = Workers(threads=1, max_waiting=5)
        first = asyncio.ensure_future(workers.run(release.wait))
        second = asyncio.ensure_future(workers.run(lambda: begun.append("second")))
        third = asyncio.ensure_future(workers.run(lambda: begun.append("third")))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)  # a cancellation is delivered by the loop's next turn
        release.set()
        await asyncio.gather(first, third)
        workers.close()

    asyncio.run(main())
    assert begun == ["third"]


@contextlib.contextmanager
def at_work(workers: Workers, calls: int) -> Iterator[None]:
    """So many calls that end with the block; of one thread, all but one wait."""
    release = threading.Event()

    async def hold() -> None:
        await asyncio.gather(*(workers.run(release.wait) for _ in range(calls)))

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    wait_until(lambda: workers.queued >= calls - workers.threads)
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_a_queue_that_has_places_left_lets_in_however_long_it_stands():
    clock = Clock()
    workers = Workers(threads=1, max_waiting=20, clock=clock)
    with at_work(workers, 5):
        clock.now += 60
        with workers.admit(10):
            pass
    workers.close()


def test_once_the_places_ran_out_no_more_are_let_in_than_keep_the_threads_at_work():
    clock = Clock()
    workers = Workers(threads=1, max_waiting=3, clock=clock)
    strain(workers, clock)
    with at_work(workers, 2), pytest.raises(Overloaded, match="few are let in"), workers.admit():
        pass
    assert workers.admitted == 0
    with at_work(workers, 1), workers.admit(), pytest.raises(Overloaded), workers.admit(), workers.admit():
        pass  # one that comes while another works is enough, for its coming takes no time
    workers.close()


def test_places_that_slow_hosts_take_are_no_strain():
    """All places are held, and the thread is idle."""
    workers = Workers(threads=1, max_waiting=3)
    with workers.admit(4), pytest.raises(Overloaded, match="max_waiting"), workers.admit():
        pass
    with workers.admit(), workers.admit(), workers.admit():
        pass
    workers.close()


@pytest.mark.parametrize(("fetch_s", "let_in"), [(0.0, 2), (0.025, 4), (100.0, 9)])
def test_while_there_is_strain_as_many_are_fetched_as_keep_the_threads_at_work(fetch_s: float, let_in: int):
    """Work takes 10 ms: while one is worked on, three others may be on their way that take 25; eight at most."""
    clock = Clock()
    workers = Workers(threads=1, max_waiting=50, clock=clock)

    def work() -> None:
        clock.now += 0.01

    strain(workers, clock)
    for _ in range(100):
        asyncio.run(workers.run(work))
        workers.note_fetch(fetch_s)
    with contextlib.ExitStack() as places:
        for _ in range(let_in):
            places.enter_context(workers.admit())
        with pytest.raises(Overloaded):
            places.enter_context(workers.admit())
    workers.close()


def test_strain_ends_when_the_queue_has_been_short_though_some_were_refused():
    """Whoever is refused because enough are on their way says nothing of the queue."""
    clock = Clock()
    workers = Workers(threads=1, max_waiting=20, clock=clock)
    strain(workers, clock)
    with workers.admit(), workers.admit():
        clock.now += CALM_S - 0.1
        with pytest.raises(Overloaded), workers.admit():
            pass
        clock.now += 0.2
        with workers.admit():
            pass
    workers.close()


def strain(workers: Workers, clock: Clock) -> None:
    """More come than fit in while one waits for the thread."""
    places = workers.admit(workers.capacity)
    with at_work(workers, 2), places, pytest.raises(Overloaded, match="max_waiting"), workers.admit():
        pass


def test_strain_lasts_until_nobody_was_refused_for_a_while():
    """A queue that is kept short runs empty now and then: that alone does not end an overload."""
    clock = Clock()
    workers = Workers(threads=1, max_waiting=20, clock=clock)
    strain(workers, clock)
    for _ in range(2):
        clock.now += CALM_S - 0.1
        with at_work(workers, 2), pytest.raises(Overloaded), workers.admit():
            pass
    clock.now += CALM_S + 0.1
    with at_work(workers, 2), workers.admit():
        pass
    workers.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_thread_that_has_nothing_to_do_helps():
    """Each call waits for the other: one after the other they would never end."""
    workers = Workers(threads=2, max_waiting=2)
    both = threading.Barrier(2, timeout=PATIENCE_S)
    answers = asyncio.run(
        workers.run(lambda: workers.side_by_side([lambda: both.wait() * 0, lambda: both.wait() * 0 + 1]))
    )
    assert answers == [0, 1]
    workers.close()


@pytest.mark.parametrize(("threads", "calls"), [(1, 3), (2, 0), (2, 1), (4, 3), (4, 50)])
def test_answers_stand_in_the_order_of_their_calls(threads: int, calls: int):
    workers = Workers(threads, max_waiting=2)
    numbered = [functools.partial(int, str(number)) for number in range(calls)]
    assert asyncio.run(workers.run(lambda: workers.side_by_side(numbered))) == list(range(calls))
    workers.close()


def test_threads_that_are_at_work_do_not_help():
    workers = Workers(threads=2, max_waiting=2)
    names: set[str] = set()

    async def two() -> None:
        both = threading.Barrier(2, timeout=PATIENCE_S)
        await asyncio.gather(*(workers.run(lambda: one(both)) for _ in range(2)))

    def one(both: threading.Barrier) -> None:
        both.wait()
        here = threading.current_thread().name
        workers.side_by_side([lambda: names.add(f"{here} for {threading.current_thread().name}")] * 20)
        both.wait()

    asyncio.run(two())
    assert len(names) == 2
    assert all(asked == made for asked, made in (name.split(" for ") for name in names))
    workers.close()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("fails", [0, 1])
def test_one_call_that_fails_fails_all_and_no_more_are_begun(threads: int, fails: int):
    workers = Workers(threads, max_waiting=2)
    both, made = threading.Barrier(min(threads, 2), timeout=PATIENCE_S), []

    def call(number: int) -> None:
        made.append(number)
        if number < threads:
            both.wait()
        if number == fails:
            raise KeyError(number)
        time.sleep(0.1)  # for the other thread to fail meanwhile; where it takes longer, one more is begun

    with pytest.raises(KeyError):
        asyncio.run(
            workers.run(lambda: workers.side_by_side([functools.partial(call, number) for number in range(40)]))
        )
    assert len(made) < 40
    workers.close()
