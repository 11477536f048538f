from collections.abc import Iterator

import pytest

from managed_runtime import HAS_RUNTIME_CLIENT, RUNTIME_PYTHON, Start, starting
from runtime_api import RuntimeApi


@pytest.fixture
def runtime_api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture(scope="module")
def start_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    if not HAS_RUNTIME_CLIENT:
        pytest.skip("needs awslambdaric: pip install --group test (in the gateway's repository: make dev)")
    with starting(RUNTIME_PYTHON, tmp_path_factory) as start:
        yield start
