"""Runs `make e2e`, which is meant for stacks on AWS, against the deployed local system."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deployed_system import DeployedSystem
from tests.local_system import LocalSystem
from tests.rehearsal import KEY
from tests.template import ROOT
from tools.smoke.__main__ import CHECKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with DeployedSystem(environ={"LOCAL_TOKEN": "off"}) as running:
        yield running


def e2e(system: LocalSystem, **environ: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {
        "URL": system.url,
        "TOKEN": system.token("admin"),
        "CLIENT_TOKEN": system.token("client"),
    }
    return subprocess.run(
        ["make", "-s", "e2e"], cwd=ROOT, env=variables | environ, capture_output=True, text=True, check=False
    )


def test_fails_without_a_provider(system: LocalSystem) -> None:
    process = e2e(system)

    assert "FAILED | completion" in process.stdout
    assert process.returncode != 0


def test_passes_every_check_with_a_registered_provider(system: LocalSystem) -> None:
    process = e2e(system, PROVIDER_ENDPOINT=f"{system.tokenhub_url}/v1", PROVIDER_KEY=KEY)
    print(process.stdout)

    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.count("| ok |") == len(CHECKS)
    headers = {"Authorization": f"Bearer {system.token('admin')}"}
    providers = httpx.get(f"{system.url}/api/v1/providers", headers=headers, timeout=30, trust_env=False).json()
    assert not [provider["id"] for provider in providers if provider["id"].startswith("smoke-")]


ONLY_STREAMED = {"chunk timing", "first event", "keep-alive", "response of 7 MB"}


def test_framed_mode_fails_only_the_documented_checks() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    with LocalSystem(environ={"LOCAL_TOKEN": "off", "PARAMETERS": "StreamMode=framed"}) as framed:
        process = e2e(framed, PROVIDER_ENDPOINT=f"{framed.tokenhub_url}/v1", PROVIDER_KEY=KEY)

    assert set(re.findall(r"^\| FAILED \| ([^|]+) \|", process.stdout, re.MULTILINE)) == ONLY_STREAMED
    assert all(f'"{name}"' in page for name in ONLY_STREAMED)


def test_proxy_mode_returns_502_on_every_v1_call() -> None:
    with LocalSystem(environ={"PARAMETERS": "StreamMode=proxy"}) as system:
        response = httpx.get(f"{system.url}/v1/models", timeout=30, trust_env=False)

    assert (response.status_code, response.json()["error"]["code"]) == (502, "gateway_error")


# ENV=dev on the page is a stack on AWS. This Makefile ignores it and prints a token of the local system.
LOCAL_TOKEN = f"""token:
\t@$(MAKE) --no-print-directory -C {ROOT} token ENV=local
"""


def test_documented_registration_works_as_written(system: LocalSystem, tmp_path: Path) -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    [block] = [block for block in blocks if "GATEWAY_URL" in block]
    variables = {"URL": system.url, "AWS_PORT": str(system.aws_port), "TOKENHUB_API_KEY": KEY}
    (tmp_path / "Makefile").write_text(LOCAL_TOKEN)
    example = (ROOT / "bootstrap.local.example").read_text()
    script = tmp_path / "bootstrap.local"
    script.write_text(example.replace("http://localhost:8090", system.tokenhub_url))
    script.chmod(0o755)

    process = subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, check=False
    )

    assert (process.returncode, process.stdout) == (0, "tokenhub is healthy.\n"), process.stderr


def test_fails_with_the_client_token_as_admin(system: LocalSystem) -> None:
    process = e2e(system, TOKEN=system.token("client"))

    assert "FAILED | providers | an array without keys | 403 forbidden" in process.stdout
