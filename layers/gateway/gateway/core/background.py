"""Work in a thread of its own, whose outcome is waited for only so long."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


def begin[T](work: Callable[[], T], name: str) -> Future[T]:
    """Starts `work` in a daemon thread. The future has what it returns or raises, whether anybody waits or not.

    A ThreadPoolExecutor would wait for its threads when the interpreter ends.
    """
    done: Future[T] = Future()
    Thread(target=_run, args=(work, done), name=name, daemon=True).start()
    return done


def _run[T](work: Callable[[], T], done: Future[T]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # noqa: BLE001 -- raised again by result()
        done.set_exception(error)
    finally:
        del done  # the error's traceback holds this frame: only the garbage collector would free a future in it
