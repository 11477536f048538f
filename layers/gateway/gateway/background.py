"""Work in a thread of its own, whose outcome is waited for only so long."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


def begin[T](work: Callable[[], T], name: str) -> Future[T]:
    """Starts `work` in a daemon thread. The future has what it returns or raises, whether anybody waits or not.

    A ThreadPoolExecutor would wait for its threads when the interpreter ends.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- raised again by result()
            done.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return done
