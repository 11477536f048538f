from collections.abc import Iterator

import pytest

from tests.managed_runtime import RUNTIME_PYTHON, Start, starting
from tests.runtime_api import RuntimeApi


@pytest.fixture
def runtime_api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture(scope="module")
def start_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    if not RUNTIME_PYTHON.exists():
        pytest.skip("needs the emulator environment (make dev builds it)")
    with starting(RUNTIME_PYTHON, tmp_path_factory) as start:
        yield start
