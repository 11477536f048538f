from datetime import timedelta

import pytest

from gateway.core.errors import ProviderNotFound
from gateway.status.reader import CACHE_SECONDS, StatusReader
from tests.status_site import World, overview
from tests.unit.gateway.builders import AT

WORLD_SIZE = 3


@pytest.fixture
def world() -> World:
    return World(providers=[overview(f"p{number}", AT) for number in range(WORLD_SIZE)])


@pytest.fixture
def reader(world: World) -> StatusReader:
    return StatusReader(world.read_providers, world.read_summaries)


def read_all(reader: StatusReader, seconds: float) -> None:
    now = AT + timedelta(seconds=seconds)
    reader.histories(reader.providers(now), now)


def test_reads_at_most_once_in_15_seconds(reader: StatusReader, world: World) -> None:
    for seconds in (0, 1, CACHE_SECONDS - 0.1):
        read_all(reader, seconds)
    assert world.reads == [("providers", WORLD_SIZE), ("histories", WORLD_SIZE)]

    read_all(reader, CACHE_SECONDS)
    assert world.reads == [("providers", WORLD_SIZE), ("histories", WORLD_SIZE)] * 2


def test_reads_again_after_the_clock_was_set_back(reader: StatusReader, world: World) -> None:
    read_all(reader, 0)
    read_all(reader, -60)

    assert len(world.reads) == 4


def test_reads_only_the_histories_that_it_needs(reader: StatusReader, world: World) -> None:
    reader.histories([reader.provider("p1", AT)], AT)
    read_all(reader, 1)

    assert world.reads == [("providers", WORLD_SIZE), ("histories", 1), ("histories", WORLD_SIZE - 1)]


def test_forgets_old_histories(reader: StatusReader, world: World) -> None:
    read_all(reader, 0)
    world.providers = [overview("p0", AT)]
    read_all(reader, CACHE_SECONDS + 1)

    assert reader._histories.keys() == {"p0"}


def test_rejects_an_unknown_provider(reader: StatusReader) -> None:
    with pytest.raises(ProviderNotFound):
        reader.provider("nobody", AT)
