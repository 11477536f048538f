"""The local system, part by part: the local AWS, the stack on it, the rehearsal TokenHub, the front, the logs."""

import asyncio
import http.client
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError

from tools.local import aws, deployment, ports, processes, stack, state
from tools.local.apigateway.authorizer import TokenAuthorizer, lambda_invoke
from tools.local.apigateway.front import Front
from tools.local.deployed import Deployment, Function
from tools.local.lambda_runtime.workers import Workers
from tools.local.logs import Logs
from tools.local.processes import Child
from tools.local.sam_local import containers
from tools.local.settings import ACCOUNT, EMULATOR, REGION, LocalError, Settings

AWS_STARTS_WITHIN_S = 30
AWS_STOPS_WITHIN_S = 7  # its last snapshot takes most of that, should there be much to keep
TICK_AFTER_DEPLOY_S = 75  # a rule's minute begins when it is made, and ministack looks every ten seconds
TICK_AFTER_RESTART_S = 15

type Say = Callable[[str], None]


async def run(settings: Settings, *, only_aws: bool, say: Say, ready: Callable[[int], None]) -> None:
    """Until cancelled. `ready` is told the seconds within which the first tick is due.

    Raises LocalError, also when a part ends unexpectedly.
    """
    try:
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as parts:
            system = System(settings, tasks, parts, say)
            ready(await system.start(only_aws=only_aws))
            await asyncio.Event().wait()
    except BaseExceptionGroup as group:
        raise _plain(group, settings) from None


def _plain(group: BaseExceptionGroup[BaseException], settings: Settings) -> BaseException:
    """The one trouble that the user is told. A part that ends makes others fail, too: its own end comes first."""
    for error in group.exceptions:
        if isinstance(error, LocalError):
            return error
    first = group.exceptions[0]
    if isinstance(first, BotoCoreError | ClientError):
        return LocalError(f"The local AWS failed: {first}\nIts log is {settings.logs / 'aws.log'}")
    return first


class System:
    """Starts the parts in order; `parts` stops them in reverse order, `tasks` fails when one ends by itself."""

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup, parts: AsyncExitStack, say: Say) -> None:
        self._settings = settings
        self._tasks = tasks
        self._parts = parts
        self._say = say

    async def start(self, *, only_aws: bool) -> int:
        """Gives the seconds within which the first tick is due."""
        settings = self._settings
        ports.check(settings.aws_port, "AWS_PORT")
        sockets = [] if only_aws else ports.hold(settings.port, "PORT")
        for found in sockets:
            self._parts.callback(found.close)
        lock = await self._parts.enter_async_context(state.claimed(settings.state))
        if not only_aws:
            await self._start_tokenhub()
        build = self._tasks.create_task(self._build())
        await self._start_aws(lock)
        folder = await build
        deployed = await self._deploy(folder)
        functions = await asyncio.to_thread(deployment.functions, settings.aws_url, folder)
        logs = self._start_logs(functions)
        credentials = deployment.Credentials(aws.client("sts", settings.aws_url))
        await self._serve_containers(functions, credentials)
        if not only_aws:
            described = await asyncio.to_thread(deployment.describe, settings.aws_url, folder, functions)
            await self._start_front(described, credentials, logs, sockets)
        return TICK_AFTER_DEPLOY_S if deployed else TICK_AFTER_RESTART_S

    async def _start(self, part: AbstractAsyncContextManager[Child]) -> None:
        child = await self._parts.enter_async_context(part)
        watch = self._tasks.create_task(child.watch())
        self._parts.callback(watch.cancel)  # called before the child is stopped: that end is expected

    async def _start_tokenhub(self) -> None:
        port = self._settings.tokenhub_port
        if not self._settings.tokenhub:
            return
        if ports.listening(port):
            self._say(f"Something listens on port {port} already: taken for your TokenHub.")
            return
        command = [*processes.LIFELINE, "tools.rehearsal.server", "--host", "localhost", "--port", str(port)]
        log = self._settings.logs / "tokenhub.log"
        await self._start(processes.child("the rehearsal TokenHub", command, log=log, environment=dict(os.environ)))
        self._say(f"Started the rehearsal TokenHub on port {port}.")

    async def _start_aws(self, lock: int) -> None:
        settings = self._settings
        command = [str(EMULATOR / "bin" / "python"), "-m", "tools.local.emulator", str(settings.state)]
        part = processes.child(
            "the local AWS",
            command,
            log=settings.logs / "aws.log",
            environment=_aws_environment(settings),
            stop_within_s=AWS_STOPS_WITHIN_S,
            keep=[lock],
        )
        await self._start(part)
        begun = time.monotonic()
        while not await asyncio.to_thread(_aws_answers, settings.aws_port):
            if time.monotonic() - begun > AWS_STARTS_WITHIN_S:
                raise LocalError(f"The local AWS does not answer. Its log is {settings.logs / 'aws.log'}")
            await asyncio.sleep(0.05)
        self._say(f"Started the local AWS on port {settings.aws_port}.")

    async def _build(self) -> Path:
        folder = stack.build_folder(self._settings)
        if not folder.exists():
            self._say("Building the functions (sam build) …")
        return await stack.build(self._settings)

    async def _deploy(self, folder: Path) -> bool:
        if await stack.is_deployed(self._settings, folder):
            return False
        self._say("Deploying the stack (sam deploy) …")
        await stack.deploy(self._settings, folder)
        return True

    def _start_logs(self, functions: tuple[Function, ...]) -> Logs:
        url = self._settings.aws_url
        clients = aws.client("logs", url), aws.client("cloudwatch", url)
        logs = Logs(functions, *clients, show=self._say, colour=sys.stdout.isatty())
        follow = self._tasks.create_task(logs.follow())
        self._parts.callback(follow.cancel)
        return logs

    async def _serve_containers(self, functions: tuple[Function, ...], credentials: deployment.Credentials) -> None:
        looked = asyncio.Event()
        serve = containers.serve(self._settings, functions, credentials, looked.set)
        serving = self._tasks.create_task(serve)
        self._parts.callback(serving.cancel)
        await looked.wait()

    async def _start_front(
        self, deployed: Deployment, credentials: deployment.Credentials, logs: Logs, sockets: list[socket.socket]
    ) -> None:
        settings, url = self._settings, self._settings.aws_url
        pycache = settings.state / "pycache"
        workers = Workers(EMULATOR / "bin" / "python", credentials, logs.add, pycache=pycache)
        self._parts.push_async_callback(workers.close)
        front = Front(
            deployed,
            aws_url=url,
            workers=workers,
            authorizer=TokenAuthorizer(lambda_invoke(aws.client("lambda", url))),
            admin_token=_admin_token(url, deployed) if settings.local_token else None,
        )
        runner = front.runner()
        await runner.setup()
        self._parts.push_async_callback(runner.cleanup)
        for found in sockets:
            await web.SockSite(runner, found).start()


def _admin_token(url: str, deployed: Deployment) -> Callable[[], str]:
    secrets, secret = aws.client("secretsmanager", url), deployed.outputs["AdminTokenSecret"]
    return lambda: str(secrets.get_secret_value(SecretId=secret)["SecretString"])


def _aws_environment(settings: Settings) -> dict[str, str]:
    """Only what ministack needs: functions inherit all of it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(settings.state),  # no ~/.aws of the user's
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GATEWAY_PORT": str(settings.aws_port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AUTH": "true" if settings.auth else "false",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(settings.state / "s3"),
        "IOT_MTLS_ENABLED": "0",  # it would listen on all interfaces
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",  # ministack removes containers that it takes for its own
    }


def _aws_answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
