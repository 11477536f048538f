"""Deploy, update, delete and deploy again, by the code of `make deploy` and `make delete`, on the local AWS."""

import contextlib
import importlib.util
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployed_system import DeployedSystem
from tests.local_system import LocalSystem
from tests.rehearsal import KEY
from tools.local import aws
from tools.local.settings import REGION, REPOSITORY, Settings, UserError
from tools.local.stack import parameters
from tools.ops.deploy import BUILDS, Account, delete, deploy, find_account
from tools.ops.environments import Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = "cycle"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSystem]:
    with DeployedSystem(arguments=("--only", "aws"), environ={"TOKENHUB": "off"}) as system:
        yield system


@dataclass
class Cycle:
    """Runs the code of `make deploy ENV=cycle` and `make delete ENV=cycle` against the local AWS."""

    system: LocalSystem
    samconfig: Path

    def parameters(self) -> dict[str, str]:
        return parameters(Settings(aws_port=self.system.aws_port)) | {"Data": "keep"}

    def configure(self, **changes: str) -> Environment:
        """Writes samconfig.toml with the parameters of the local system and these changes."""
        overrides = " ".join(f"{name}={value}" for name, value in (self.parameters() | changes).items())
        settings = f'stack_name = "{STACK}"\nregion = "{REGION}"\nparameter_overrides = "{overrides}"\n'
        self.samconfig.write_text(f"version = 0.1\n[cycle.deploy.parameters]\n{settings}")
        return Environment.read(self.samconfig, "cycle")

    def deploy(self, **changes: str) -> dict[str, str]:
        """Deploys with these changes to the parameters and returns the outputs of the stack."""
        deploy(self.configure(**changes), self.find, interactive=False)
        stack = self.account().stack(STACK)
        assert stack is not None
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def delete(self) -> None:
        delete(self.configure(), self.account(), confirmed=True)

    def account(self) -> Account:
        return self.find(Environment("cycle", self.samconfig, {"region": REGION}, ()))

    def find(self, environment: Environment) -> Account:
        return find_account(environment, is_allowed=lambda url: url == self.system.aws_url)

    def client(self, service: str) -> Any:
        return aws.client(service, self.system.aws_url)

    def resource(self, logical_id: str) -> str:
        response = self.client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId=logical_id)
        return str(response["StackResourceDetail"]["PhysicalResourceId"])

    def api(self, outputs: dict[str, str]) -> httpx.Client:
        token = self.client("secretsmanager").get_secret_value(SecretId=outputs["AdminTokenSecret"])["SecretString"]
        url = f"{self.system.aws_url}/_aws/execute-api/{outputs['ApiId']}/prod"
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)


@pytest.fixture
def cycle(local: LocalSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cycle:
    for name, value in aws.environment(local.aws_url, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAM_CLI_POLL_DELAY", "0.2")
    return Cycle(local, tmp_path / "samconfig.toml")


PROVIDER = {"id": "tokenhub", "endpoint": "http://127.0.0.1:9/v1", "api_key": KEY, "heartbeat": {"enabled": False}}


def test_retained_data_is_readable_after_delete_and_the_stack_deploys_again(
    cycle: Cycle, capfd: pytest.CaptureFixture[str]
) -> None:
    first = cycle.deploy()
    built = bytecode_files(BUILDS / "cycle")
    assert built
    with cycle.api(first) as api:
        assert api.post("/api/v1/providers", json=PROVIDER).status_code == 201
    table, key = cycle.resource("ProvidersTable"), cycle.resource("ProviderKeysKey")

    updated = cycle.deploy(LogLevel="WARNING", HistoryDays="30")
    with cycle.api(updated) as api:
        assert [provider["id"] for provider in api.get("/api/v1/providers").json()] == ["tokenhub"]
    assert cycle.resource("ProvidersTable") == table
    name = cycle.resource("HeartbeatFunction")
    # The cached build has the same bytes, so unchanged code creates no new versions.
    assert bytecode_files(BUILDS / "cycle") == built
    # Callers use the alias, so the published version must have the new parameter too.
    live = cycle.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")
    assert live["Environment"]["Variables"]["HISTORY_DAYS"] == "30"

    capfd.readouterr()
    cycle.delete()
    output = capfd.readouterr().out
    assert f"the table of the providers, {table}" in output
    assert f"the KMS key of their API keys, {key}" in output
    assert cycle.account().stack(STACK) is None
    ciphertext = stored_ciphertext(cycle, table)
    assert decrypt(cycle, ciphertext) == KEY

    again = cycle.deploy()
    with cycle.api(again) as api:
        assert api.get("/api/v1/providers").json() == []
        assert api.post("/api/v1/providers", json=PROVIDER).status_code == 201
    assert cycle.resource("ProviderKeysKey") != key
    # The local AWS names a table by stack and logical id, so the new table replaces the retained one here. Only the
    # retained KMS key can be tested.
    assert decrypt(cycle, ciphertext) == KEY


def bytecode_files(build: Path) -> dict[str, bytes]:
    """Returns the compiled modules of a build. Every module has one, of this Python and never compared with its source.

    PEP 552: the magic number and the flags are the first two words, and they are the same on every architecture.
    """
    expected = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    compiled = {}
    for module in sorted(build.rglob("*.py")):
        file = module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
        compiled[str(file.relative_to(build))] = file.read_bytes()
        assert file.read_bytes()[:8] == expected, file
    return compiled


def stored_ciphertext(cycle: Cycle, table: str) -> bytes:
    """Returns the provider's encrypted API key from the table."""
    item = cycle.client("dynamodb").get_item(TableName=table, Key={"id": {"S": "tokenhub"}})["Item"]
    return bytes(item["key_ciphertext"]["B"])


def decrypt(cycle: Cycle, ciphertext: bytes) -> str:
    context = {"provider_id": "tokenhub", "origin": "http://127.0.0.1:9"}
    response = cycle.client("kms").decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)
    return str(response["Plaintext"].decode())


GUIDED = """
import sys
from pathlib import Path
from tools.ops.deploy import Environment, deploy, find_account
samconfig, url = sys.argv[1:]
guided = Environment.read(Path(samconfig), "guided")
deploy(guided, lambda env: find_account(env, is_allowed=lambda endpoint: endpoint == url), interactive=True)
"""


def run_accepting_defaults(*command: str) -> str:
    """Runs a command in a terminal, presses Enter at every prompt, and returns the output."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    ) as process:
        os.close(terminal)
        output = b""
        # Reading raises OSError after the process has closed the terminal.
        with contextlib.suppress(OSError):
            while data := os.read(controller, 4096):
                output += data
                if re.search(rb"\[[^\]\n]*\]: $", output[-200:]):
                    os.write(controller, b"\n")
        os.close(controller)
        assert process.wait() == 0, output.decode()
    return output.decode()


def test_first_deployment_is_guided_and_the_next_reuses_the_answers(cycle: Cycle) -> None:
    overrides = " ".join(f"{name}={value}" for name, value in cycle.parameters().items())
    cycle.samconfig.write_text(f'version = 0.1\n[guided.deploy.parameters]\nparameter_overrides = "{overrides}"\n')

    output = run_accepting_defaults(sys.executable, "-c", GUIDED, str(cycle.samconfig), cycle.system.aws_url)

    assert "Parameter HistoryDays" in output
    saved = Environment.read(cycle.samconfig, "guided")
    assert saved.stack == "tokenhub-gateway-guided"
    assert cycle.account().stack(saved.stack) is not None
    assert "aws secretsmanager get-secret-value --region us-east-1 --secret-id tokenhub-gateway-guided-" in output

    deploy(saved, cycle.find, interactive=False)
    delete(saved, cycle.account(), confirmed=True)
    assert cycle.account().stack(saved.stack) is None


def test_rejects_parameters_that_contradict_each_other(cycle: Cycle, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="sam deploy"):
        cycle.deploy(VpcSubnetIds="subnet-0123456789abcdef0")
    output = capfd.readouterr()
    assert "VpcSubnetIds and VpcSecurityGroupIds go together" in output.out + output.err
    with contextlib.suppress(UserError):
        cycle.delete()


def test_does_not_delete_a_missing_stack(cycle: Cycle) -> None:
    environment = Environment("nowhere", cycle.samconfig, {"stack_name": "nowhere"}, ())

    with pytest.raises(UserError, match="There is no stack nowhere in account 000000000000, us-east-1"):
        delete(environment, cycle.account(), confirmed=True)
