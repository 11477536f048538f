import contextlib
import gc
import weakref
from collections.abc import Iterator

from lambda_streaming import pump


class Held:
    """Something that the source holds when it fails."""


def failing(held: Held) -> Iterator[bytes]:
    yield b"a"
    raise ConnectionResetError(held)


def read_to_its_error() -> weakref.ref[Held]:
    held = Held()
    with contextlib.suppress(ConnectionResetError):
        list(pump(failing(held)))
    return weakref.ref(held)


def test_an_error_of_the_source_keeps_nothing_alive_once_it_was_handled() -> None:
    gc.disable()  # it frees cycles, but a quiet function may not come to it for long
    try:
        assert read_to_its_error()() is None
    finally:
        gc.enable()
