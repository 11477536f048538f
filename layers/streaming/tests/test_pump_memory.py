import contextlib
import gc
import weakref
from collections.abc import Iterator

from lambda_streaming import Pump


class Resource:
    """An object that the source references when it fails."""


def failing(resource: Resource) -> Iterator[bytes]:
    yield b"a"
    raise ConnectionResetError(resource)


def read_to_its_error() -> weakref.ref[Resource]:
    resource = Resource()
    with contextlib.suppress(ConnectionResetError):
        list(Pump(failing(resource)))
    return weakref.ref(resource)


def test_handled_source_error_keeps_no_references() -> None:
    # A reference cycle must not wait for the garbage collector, which rarely runs in an idle function.
    gc.disable()
    try:
        assert read_to_its_error()() is None
    finally:
        gc.enable()
