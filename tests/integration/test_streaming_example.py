"""The streaming layer's example, deployed from a copy of the layer's folder alone."""

import asyncio
import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.local_system import LocalSystem
from tests.template import ROOT
from tests.unit.tools.local.running_server import RunningServer, make_deployment, make_function, serving
from tools.local import aws, discovery, stack
from tools.local.deployment import Deployment, Function
from tools.local.settings import REGION, Settings

STACK = "streaming-example"
LAYER = ROOT / "layers/streaming"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gets the copy of the layer, the build and the packages as the local AWS has them."""
    return tmp_path_factory.mktemp("example")


@pytest.fixture(scope="module")
def server(system: LocalSystem, folder: Path) -> Iterator[RunningServer]:
    """Serves the API of the deployed example."""
    asyncio.run(deploy(Settings(aws_port=system.aws_port, state=folder / "state"), folder))
    with serving(deployment=deployed(system, folder)) as running:
        yield running
    aws.client("cloudformation", system.aws_url).delete_stack(StackName=STACK)


async def deploy(settings: Settings, folder: Path) -> None:
    """Builds and deploys a copy of the layer's folder with the commands of its README."""
    copy, build = folder / "layer", folder / "build"
    shutil.copytree(LAYER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--template-file", str(copy / "example/template.yaml"), "--build-dir", str(build)]
    await stack.run_sam(settings, "build", *options, folder=folder)
    options = ["--template-file", str(build / "template.yaml"), "--stack-name", STACK, "--resolve-s3"]
    options += ["--capabilities", "CAPABILITY_IAM", "--region", REGION]
    await stack.run_sam(settings, "deploy", *options, folder=folder)


def deployed(system: LocalSystem, folder: Path) -> Deployment:
    resources = aws.client("cloudformation", system.aws_url).describe_stack_resources(StackName=STACK)
    ids = {resource["ResourceType"]: resource["PhysicalResourceId"] for resource in resources["StackResources"]}
    api_id, function = ids["AWS::ApiGateway::RestApi"], deployed_function(system, ids["AWS::Lambda::Function"], folder)
    routes = discovery._routes(aws.client("apigateway", system.aws_url), api_id, {function.name: function})
    return replace(make_deployment(None), api_id=api_id, stage="Prod", routes=tuple(routes))


def deployed_function(system: LocalSystem, name: str, folder: Path) -> Function:
    lambda_ = aws.client("lambda", system.aws_url)
    function = lambda_.get_function(FunctionName=name)
    configuration = function["Configuration"]
    layers = [lambda_.get_layer_version_by_arn(Arn=layer["Arn"]) for layer in configuration["Layers"]]
    return make_function(
        folder,
        name=name,
        arn=configuration["FunctionArn"],
        handler=configuration["Handler"],
        timeout_s=configuration["Timeout"],
        code=extracted(function["Code"]["Location"], folder / "function"),
        layers=tuple(extracted(layer["Content"]["Location"], folder / "opt") for layer in layers),
    )


def extracted(location: str, folder: Path) -> Path:
    """Extracts a package of the local AWS, as Lambda does before a cold start."""
    response = httpx.get(location, trust_env=False)
    zipfile.ZipFile(io.BytesIO(response.raise_for_status().content)).extractall(folder)
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_example_streams_each_event_when_it_is_produced(server: RunningServer) -> None:
    def smallest_gap() -> float:
        with httpx.stream("GET", f"{server.url}/events?count=3", trust_env=False, timeout=30) as response:
            arrivals = [(time.monotonic(), data) for data in response.iter_raw()]
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        assert b"".join(data for _, data in arrivals) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        # Events that were delayed may arrive as one.
        return min(after - before for (before, _), (after, _) in pairwise(arrivals)) if len(arrivals) == 3 else 0

    # The function waits a second after each event. A busy machine may be late, but not three times.
    assert any(smallest_gap() > 0.5 for _ in range(3))
    assert server.has_logged("closed")


@pytest.mark.parametrize("count", ["0", "51", "many"])
def test_example_rejects_an_invalid_count(server: RunningServer, count: str) -> None:
    response = httpx.get(f"{server.url}/events", params={"count": count}, trust_env=False, timeout=30)

    assert (response.status_code, response.text) == (400, "count must be a number from 1 to 50")


@pytest.mark.usefixtures("server")
def test_layer_ships_the_package_only(folder: Path) -> None:
    modules = files(LAYER / "python/lambda_streaming")

    assert "py.typed" in modules
    assert files(folder / "opt") == {f"python/lambda_streaming/{name}" for name in modules}
