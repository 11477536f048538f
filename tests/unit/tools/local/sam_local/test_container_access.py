"""The files and proxies for `sam local` exist only while the system runs."""

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.local_system import free_ports
from tests.unit.tools.local.running_server import make_function
from tools.local.sam_local import container_access
from tools.local.sam_local.signing_proxy import SigningProxy
from tools.local.settings import REPOSITORY, Settings


def test_variables_have_the_deployed_environment_and_a_reachable_aws(tmp_path: Path) -> None:
    function = replace(make_function(tmp_path), environment={"PLATFORM": "local", "AWS_ENDPOINT_URL": "http://old"})

    variables = container_access.variables((function,), "http://172.17.0.1:4566")

    url = "http://172.17.0.1:4566/CompletionsFunction"
    assert variables == {"CompletionsFunction": {"PLATFORM": "local", "AWS_ENDPOINT_URL": url}}


def test_file_and_link_exist_while_the_system_runs(tmp_path: Path) -> None:
    file = tmp_path / "env.json"

    with container_access.env_file(file, {"F": {"A": "1"}}):
        link = file.with_name(container_access.LINK.format("env.json"))
        assert json.loads(link.read_text()) == {"F": {"A": "1"}}

    assert list(tmp_path.iterdir()) == []


def test_replaces_the_file_of_a_killed_system(tmp_path: Path) -> None:
    file = tmp_path / "env.json"
    file.write_text("old")
    file.chmod(0o644)
    file.with_name(container_access.LINK.format("env.json")).symlink_to("elsewhere")

    with container_access.env_file(file, {}):
        assert file.with_name(container_access.LINK.format("env.json")).read_text() == "{}"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_env_file_path_depends_on_the_state_folder() -> None:
    assert Settings().env_file == REPOSITORY / ".local/env.json"
    assert Settings(state=Path("/elsewhere")).env_file == Path("/elsewhere/env.json")


def test_containers_use_the_hosts_name_without_a_bridge(tmp_path: Path) -> None:
    settings = Settings(aws_port=free_ports(1)[0], state=tmp_path)

    async def url() -> str:
        proxy = SigningProxy(settings.aws_url, (), lambda _: {})
        async with container_access.proxies(settings, proxy, None) as container_url:
            return container_url

    assert asyncio.run(url()).startswith("http://host.docker.internal:")


def test_uses_a_free_port_if_the_bridges_port_is_in_use(tmp_path: Path) -> None:
    """Uses 127.0.0.1 as the bridge, where the local AWS itself listens."""
    aws_port, tokenhub_port = free_ports(2)
    settings = Settings(aws_port=aws_port, tokenhub_port=tokenhub_port, state=tmp_path)

    async def url() -> str:
        proxy = SigningProxy(settings.aws_url, (), lambda _: {})
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", aws_port)
        async with server, container_access.proxies(settings, proxy, container_access.LOOPBACK) as container_url:
            return container_url

    parts = urlsplit(asyncio.run(url()))
    assert parts.hostname == "127.0.0.1"
    assert parts.port != aws_port


def test_stopped_system_leaves_no_files(tmp_path: Path) -> None:
    async def run() -> None:
        checked = asyncio.Event()
        task = asyncio.create_task(container_access.serve(settings, (), lambda _: {}, checked.set))
        await asyncio.wait_for(checked.wait(), 10)
        task.cancel()
        await asyncio.wait({task})

    aws_port, tokenhub_port = free_ports(2)
    settings = Settings(aws_port=aws_port, tokenhub_port=tokenhub_port, state=tmp_path)
    asyncio.run(run())

    assert list(tmp_path.iterdir()) == []
