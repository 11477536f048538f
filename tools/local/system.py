"""Starts and stops the parts of the local system: rehearsal TokenHub, local AWS and stack, logs, API server."""

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

from tools.local import aws, discovery, ports, processes, stack, state_folder
from tools.local.apigateway.authorizer import TokenAuthorizer, lambda_invoker
from tools.local.apigateway.server import ApiServer
from tools.local.deployment import Deployment, Function
from tools.local.lambda_runtime.worker_pool import WorkerPool
from tools.local.log_follower import LogFollower
from tools.local.processes import Child
from tools.local.recent_value import RecentValue
from tools.local.role_credentials import RoleCredentials
from tools.local.sam_local import container_access
from tools.local.save_monitor import SaveMonitor
from tools.local.settings import ACCOUNT, EMULATOR, REGION, Settings, UserError

AWS_START_TIMEOUT_S = 30
# The final snapshot of a large state takes most of this time.
AWS_STOP_TIMEOUT_S = 7
# A new rule waits a full minute before its first run, and ministack checks its rules every ten seconds.
FIRST_TICK_AFTER_DEPLOY_S = 75
FIRST_TICK_AFTER_RESTART_S = 15

type Report = Callable[[str], None]


async def run(settings: Settings, *, only_aws: bool, report: Report, ready: Callable[[int], None]) -> None:
    """Runs until cancelled. Calls `ready` with the seconds within which the first scheduled tick runs.

    Raises UserError if a part cannot start or ends unexpectedly.
    """
    try:
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as parts:
            system = System(settings, tasks, parts, report)
            ready(await system.start(only_aws=only_aws))
            await asyncio.Event().wait()
    except BaseExceptionGroup as group:
        raise _root_error(group, settings) from None


def _root_error(group: BaseExceptionGroup[BaseException], settings: Settings) -> BaseException:
    """Returns the error to show. When a part ends, other parts fail too, so its UserError takes precedence."""
    for error in group.exceptions:
        if isinstance(error, UserError):
            return error
    first = group.exceptions[0]
    if isinstance(first, BotoCoreError | ClientError):
        return UserError(f"The local AWS failed: {first}\nIts log is {settings.logs / 'aws.log'}")
    return first


class System:
    """Starts the parts in order. `parts` stops them in reverse order; `tasks` fails when one ends by itself."""

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup, parts: AsyncExitStack, report: Report) -> None:
        self._settings = settings
        self._tasks = tasks
        self._parts = parts
        self._report = report
        self._saving = SaveMonitor(settings.state, report)

    async def start(self, *, only_aws: bool) -> int:
        """Starts everything and returns the seconds within which the first scheduled tick runs."""
        settings = self._settings
        ports.check_free(settings.aws_port, "AWS_PORT")
        sockets = [] if only_aws else ports.bind(settings.port, "PORT")
        for server in sockets:
            self._parts.callback(server.close)
        lock = await self._parts.enter_async_context(state_folder.locked(settings.state))
        if not only_aws:
            await self._start_tokenhub()
        build = self._tasks.create_task(self._build())
        await self._start_aws(lock)
        folder = await build
        deployed = await self._deploy(folder)
        functions = await asyncio.to_thread(discovery.read_functions, settings.aws_url, folder)
        logs = self._follow_logs(functions)
        credentials = RoleCredentials(aws.client("sts", settings.aws_url))
        await self._serve_containers(functions, credentials)
        if not only_aws:
            deployment = await asyncio.to_thread(discovery.read_deployment, settings.aws_url, folder, functions)
            await self._start_api_server(deployment, credentials, logs, sockets)
        return FIRST_TICK_AFTER_DEPLOY_S if deployed else FIRST_TICK_AFTER_RESTART_S

    async def _start(self, part: AbstractAsyncContextManager[Child]) -> None:
        child = await self._parts.enter_async_context(part)
        watch = self._tasks.create_task(child.watch())
        # Runs before the child is stopped, so that its expected end is not reported.
        self._parts.callback(watch.cancel)

    async def _start_tokenhub(self) -> None:
        port = self._settings.tokenhub_port
        if not self._settings.tokenhub:
            return
        if ports.listening(port):
            self._report(f"Port {port} is in use. The system uses it as your TokenHub.")
            return
        command = [*processes.PARENT_WATCH, "tools.rehearsal.server", "--host", "localhost", "--port", str(port)]
        log = self._settings.logs / "tokenhub.log"
        # Removed, because the rehearsal TokenHub ends with this process and not with `make`.
        environment = {name: value for name, value in os.environ.items() if name != "STOP_WITH"}
        await self._start(processes.child("the rehearsal TokenHub", command, log=log, environment=environment))
        self._report(f"Started the rehearsal TokenHub on port {port}.")

    async def _start_aws(self, lock: int) -> None:
        settings = self._settings
        # Checked after the local AWS has stopped.
        self._parts.callback(self._saving.check)
        reports = self._saving.open()
        command = [str(EMULATOR / "bin" / "python"), "-m", "tools.local.emulator", str(settings.state), str(reports)]
        part = processes.child(
            "the local AWS",
            command,
            log=settings.logs / "aws.log",
            environment=_emulator_environment(settings),
            stop_timeout_s=AWS_STOP_TIMEOUT_S,
            pass_fds=[lock, reports],
        )
        await self._start(part)
        started = time.monotonic()
        while not await asyncio.to_thread(_is_healthy, settings.aws_port):
            if time.monotonic() - started > AWS_START_TIMEOUT_S:
                log = settings.logs / "aws.log"
                raise UserError(f"The local AWS did not start within {AWS_START_TIMEOUT_S} s. Its log is {log}")
            await asyncio.sleep(0.05)
        self._report(f"Started the local AWS on port {settings.aws_port}.")

    async def _build(self) -> Path:
        folder = stack.build_folder(self._settings)
        if not folder.exists():
            self._report("Building the functions (sam build) …")
        return await stack.build(self._settings)

    async def _deploy(self, folder: Path) -> bool:
        """Deploys the stack if anything changed. Returns whether it did."""
        if await stack.is_deployed(self._settings, folder):
            return False
        self._report("Deploying the stack (sam deploy) …")
        await stack.deploy(self._settings, folder)
        return True

    def _follow_logs(self, functions: tuple[Function, ...]) -> LogFollower:
        url = self._settings.aws_url
        clients = aws.client("logs", url), aws.client("cloudwatch", url)
        logs = LogFollower(functions, *clients, print_line=self._report, colour=sys.stdout.isatty())
        task = self._tasks.create_task(logs.follow())
        self._parts.callback(task.cancel)
        return logs

    async def _serve_containers(self, functions: tuple[Function, ...], credentials: RoleCredentials) -> None:
        checked = asyncio.Event()
        serve = container_access.serve(self._settings, functions, credentials, checked.set)
        task = self._tasks.create_task(serve)
        self._parts.callback(task.cancel)
        await checked.wait()

    async def _start_api_server(
        self, deployment: Deployment, credentials: RoleCredentials, logs: LogFollower, sockets: list[socket.socket]
    ) -> None:
        settings, url = self._settings, self._settings.aws_url
        temporary = settings.state / "tmp"
        python = EMULATOR / "bin" / "python"
        workers = WorkerPool(python, credentials, logs.add, settings.streams, temporary=temporary)
        self._parts.push_async_callback(workers.close)
        server = ApiServer(
            deployment,
            aws_url=url,
            workers=workers,
            authorizer=TokenAuthorizer(lambda_invoker(aws.client("lambda", url))),
            admin_token=_admin_token(url, deployment) if settings.local_token else None,
            save_failure=lambda: self._saving.failure,
        )
        runner = server.runner()
        await runner.setup()
        self._parts.push_async_callback(runner.cleanup)
        for listener in sockets:
            await web.SockSite(runner, listener).start()


def _admin_token(url: str, deployment: Deployment) -> Callable[[], str]:
    client, secret_id = aws.client("secretsmanager", url), deployment.outputs["AdminTokenSecret"]
    # A read for each request takes a fifth of the time of a short one. After a rotation the old token is still valid.
    return RecentValue(lambda: str(client.get_secret_value(SecretId=secret_id)["SecretString"]))


def _emulator_environment(settings: Settings) -> dict[str, str]:
    """Returns only the variables that ministack needs, because the functions inherit all of them."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        # Hides the user's ~/.aws folder.
        "HOME": str(settings.state),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GATEWAY_PORT": str(settings.aws_port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AUTH": "true" if settings.auth else "false",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(settings.state / "s3"),
        # Processes of functions beyond the first one end after this time without a call, in seconds.
        "LAMBDA_WARM_TTL_SECONDS": "60",
        # Off: function_pool.py bounds the processes, and calls wait instead of failing.
        "LAMBDA_ACCOUNT_CONCURRENCY": "0",
        # ministack's MQTT broker would listen on all interfaces.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Without Docker, ministack cannot remove containers that it mistakes for its own.
        "DOCKER_HOST": "unix:///nonexistent",
    }


def _is_healthy(aws_port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", aws_port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
