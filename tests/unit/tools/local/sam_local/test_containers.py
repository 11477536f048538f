"""What a running system leaves for `sam local`, and that it takes it away again."""

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.local_system import free_ports
from tests.unit.tools.local.serving import make_function
from tools.local.sam_local import containers
from tools.local.sam_local.aws_relay import AwsRelay
from tools.local.settings import REPOSITORY, Settings


def test_the_file_has_the_deployed_environment_and_an_aws_that_containers_reach(tmp_path: Path) -> None:
    function = replace(make_function(tmp_path), environment={"PLATFORM": "local", "AWS_ENDPOINT_URL": "http://old"})

    found = containers.variables((function,), "http://172.17.0.1:4566")

    url = "http://172.17.0.1:4566/CompletionsFunction"
    assert found == {"CompletionsFunction": {"PLATFORM": "local", "AWS_ENDPOINT_URL": url}}


def test_the_file_and_its_link_are_there_as_long_as_the_system_runs(tmp_path: Path) -> None:
    file = tmp_path / "env.json"

    with containers.written(file, {"F": {"A": "1"}}):
        link = file.with_name(containers.LINK.format("env.json"))
        assert json.loads(link.read_text()) == {"F": {"A": "1"}}

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_system_left_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "env.json"
    file.write_text("old")
    file.chmod(0o644)
    file.with_name(containers.LINK.format("env.json")).symlink_to("elsewhere")

    with containers.written(file, {}):
        assert file.with_name(containers.LINK.format("env.json")).read_text() == "{}"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_usual_systems_file_lies_where_samconfig_has_it_and_anothers_in_its_state() -> None:
    assert Settings().env_file == REPOSITORY / ".local/env.json"
    assert Settings(state=Path("/elsewhere")).env_file == Path("/elsewhere/env.json")


def test_without_a_bridge_containers_go_by_the_hosts_name(tmp_path: Path) -> None:
    settings = Settings(aws_port=free_ports(1)[0], state=tmp_path)

    async def url() -> str:
        relay = AwsRelay(settings.aws_url, (), lambda _: {})
        async with containers.doors(settings, relay, None) as found:
            return found

    assert asyncio.run(url()).startswith("http://host.docker.internal:")


def test_a_port_that_is_taken_on_the_bridge_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    """127.0.0.1 as the bridge: there the local AWS itself listens."""
    aws_port, tokenhub_port = free_ports(2)
    settings = Settings(aws_port=aws_port, tokenhub_port=tokenhub_port, state=tmp_path)

    async def url() -> str:
        relay = AwsRelay(settings.aws_url, (), lambda _: {})
        taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", aws_port)
        async with taken, containers.doors(settings, relay, containers.LOOPBACK) as found:
            return found

    found = urlsplit(asyncio.run(url()))
    assert found.hostname == "127.0.0.1"
    assert found.port != aws_port


def test_a_system_that_stops_leaves_nothing_for_sam_local(tmp_path: Path) -> None:
    async def run() -> None:
        looked = asyncio.Event()
        serving = asyncio.create_task(containers.serve(settings, (), lambda _: {}, looked.set))
        await asyncio.wait_for(looked.wait(), 10)
        serving.cancel()
        await asyncio.wait({serving})

    aws_port, tokenhub_port = free_ports(2)
    settings = Settings(aws_port=aws_port, tokenhub_port=tokenhub_port, state=tmp_path)
    asyncio.run(run())

    assert list(tmp_path.iterdir()) == []
