"""Deploy, update, delete and deploy again, by the code of `make deploy` and `make delete`, on the local AWS."""

import contextlib
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

from tests.local_system import LocalSystem
from tests.rehearsal import KEY
from tools.local import aws
from tools.local.settings import REGION, REPOSITORY, Settings, UserError
from tools.local.stack import parameters
from tools.ops.deploy import Account, delete, deploy, find_account
from tools.ops.environments import Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = "cycle"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSystem]:
    with LocalSystem(arguments=("--only", "aws"), environ={"TOKENHUB": "off"}) as system:
        yield system


@dataclass
class Cycle:
    """What `make deploy ENV=cycle` and `make delete ENV=cycle` would do, if the local AWS were AWS."""

    system: LocalSystem
    samconfig: Path

    def parameters(self) -> dict[str, str]:
        return parameters(Settings(aws_port=self.system.aws_port)) | {"Data": "keep"}

    def configure(self, **more: str) -> Environment:
        chosen = self.parameters() | more
        overrides = " ".join(f"{name}={value}" for name, value in chosen.items())
        given = f'stack_name = "{STACK}"\nregion = "{REGION}"\nparameter_overrides = "{overrides}"\n'
        self.samconfig.write_text(f"version = 0.1\n[cycle.deploy.parameters]\n{given}")
        return Environment.read(self.samconfig, "cycle")

    def deploy(self, **more: str) -> dict[str, str]:
        """The outputs."""
        deploy(self.configure(**more), self.find, interactive=False)
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
        found = self.client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId=logical_id)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

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
    with cycle.api(first) as api:
        assert api.post("/api/v1/providers", json=PROVIDER).status_code == 201
    table, key = cycle.resource("ProvidersTable"), cycle.resource("ProviderKeysKey")

    updated = cycle.deploy(LogLevel="WARNING", HistoryDays="30")
    with cycle.api(updated) as api:
        assert [provider["id"] for provider in api.get("/api/v1/providers").json()] == ["tokenhub"]
    assert cycle.resource("ProvidersTable") == table
    name = cycle.resource("HeartbeatFunction")
    called = cycle.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")
    assert called["Environment"]["Variables"]["HISTORY_DAYS"] == "30"  # also of the version that callers get

    capfd.readouterr()
    cycle.delete()
    told = capfd.readouterr().out
    assert f"the table of the providers, {table}" in told
    assert f"the KMS key of their API keys, {key}" in told
    assert cycle.account().stack(STACK) is None
    ciphertext = kept_ciphertext(cycle, table)
    assert decrypted(cycle, ciphertext) == KEY

    again = cycle.deploy()
    with cycle.api(again) as api:
        assert api.get("/api/v1/providers").json() == []
        assert api.post("/api/v1/providers", json=PROVIDER).status_code == 201
    assert cycle.resource("ProviderKeysKey") != key
    # Of the table that cannot be shown: the local AWS names it by stack and logical id, so the new one takes its place.
    assert decrypted(cycle, ciphertext) == KEY


def kept_ciphertext(cycle: Cycle, table: str) -> bytes:
    """The provider's API key as the table has it."""
    item = cycle.client("dynamodb").get_item(TableName=table, Key={"id": {"S": "tokenhub"}})["Item"]
    return bytes(item["key_ciphertext"]["B"])


def decrypted(cycle: Cycle, ciphertext: bytes) -> str:
    context = {"provider_id": "tokenhub", "origin": "http://127.0.0.1:9"}
    plain = cycle.client("kms").decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)
    return str(plain["Plaintext"].decode())


GUIDED = """
import sys
from pathlib import Path
from tools.ops.deploy import Environment, deploy, find_account
samconfig, url = sys.argv[1:]
guided = Environment.read(Path(samconfig), "guided")
deploy(guided, lambda environment: find_account(environment, is_allowed=lambda found: found == url), interactive=True)
"""


def answer_everything(*command: str) -> str:
    """Runs a program in a terminal in which somebody presses Enter at every question. What it said."""
    ours, its = pty.openpty()
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=its, stdout=its, stderr=its, close_fds=True) as asking:
        os.close(its)
        said = b""
        with contextlib.suppress(OSError):  # a terminal that nobody holds any more
            while data := os.read(ours, 4096):
                said += data
                if re.search(rb"\[[^\]\n]*\]: $", said[-200:]):
                    os.write(ours, b"\n")
        os.close(ours)
        assert asking.wait() == 0, said.decode()
    return said.decode()


def test_first_deployment_is_guided_and_the_next_reuses_the_answers(cycle: Cycle) -> None:
    chosen = " ".join(f"{name}={value}" for name, value in cycle.parameters().items())
    cycle.samconfig.write_text(f'version = 0.1\n[guided.deploy.parameters]\nparameter_overrides = "{chosen}"\n')

    said = answer_everything(sys.executable, "-c", GUIDED, str(cycle.samconfig), cycle.system.aws_url)

    assert "Parameter HistoryDays" in said
    saved = Environment.read(cycle.samconfig, "guided")
    assert saved.stack == "tokenhub-gateway-guided"
    assert cycle.account().stack(saved.stack) is not None
    assert "aws secretsmanager get-secret-value --region us-east-1 --secret-id tokenhub-gateway-guided-" in said

    deploy(saved, cycle.find, interactive=False)
    delete(saved, cycle.account(), confirmed=True)
    assert cycle.account().stack(saved.stack) is None


def test_rejects_parameters_that_contradict_each_other(cycle: Cycle, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="sam deploy"):
        cycle.deploy(VpcSubnetIds="subnet-0123456789abcdef0")
    told = capfd.readouterr()
    assert "VpcSubnetIds and VpcSecurityGroupIds go together" in told.out + told.err
    with contextlib.suppress(UserError):
        cycle.delete()


def test_does_not_delete_a_missing_stack(cycle: Cycle) -> None:
    environment = Environment("nowhere", cycle.samconfig, {"stack_name": "nowhere"}, ())

    with pytest.raises(UserError, match="There is no stack nowhere in account 000000000000, us-east-1"):
        delete(environment, cycle.account(), confirmed=True)
