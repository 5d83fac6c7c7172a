"""Thread pool whose results are taken in the caller's thread, as they come."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

Result = TypeVar("Result")


def in_threads(
    workers: int,
    count: int,
    work: Callable[[int, threading.Event], Result],
    take: Callable[[int, Result], None],
) -> None:
    """Call `work(n, stop)` for each n below `count` in threads, and `take(n, result)` in this one.

    When a call raises, or Ctrl-C is pressed, `stop` is set, no further call begins, results that are already
    here are still taken, and the exception goes on. Calls under way are not waited for, but the process ends
    only after them.
    """
    stop = threading.Event()

    def unless_stopped(n: int) -> Result | None:
        if stop.is_set():
            return None
        try:
            return work(n, stop)
        except BaseException:
            stop.set()
            raise

    pool = ThreadPoolExecutor(workers)
    waiting: dict[Future[Result | None], int] = {pool.submit(unless_stopped, n): n for n in range(count)}

    def hand_over(done: Future[Result | None]) -> None:
        result, n = done.result(), waiting.pop(done)
        if result is not None:
            take(n, result)

    try:
        for done in as_completed(list(waiting)):
            hand_over(done)
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for done in list(waiting):
            if done.done() and not done.cancelled() and done.exception() is None:
                hand_over(done)
        raise
    pool.shutdown()
