"""Runs work in a thread, so that the caller can wait for it with a timeout."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


def begin[T](work: Callable[[], T], name: str) -> Future[T]:
    """Starts `work` in a daemon thread and returns the future of its result.

    A ThreadPoolExecutor would wait for its threads at the interpreter's exit.
    """
    future: Future[T] = Future()
    Thread(target=_run, args=(work, future), name=name, daemon=True).start()
    return future


def _run[T](work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 -- raised again by result()
        future.set_exception(error)
    finally:
        # The error's traceback refers to this frame. A future in it would be a reference cycle.
        del future
