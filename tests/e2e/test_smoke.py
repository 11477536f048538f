"""`make e2e` against the deployed local system: unchanged, so that it is known to work before it meets AWS."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.local_system import LocalSystem
from tests.rehearsal import KEY
from tests.template import ROOT
from tools.smoke.__main__ import CHECKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with LocalSystem(environ={"LOCAL_TOKEN": "off"}) as running:
        yield running


def e2e(system: LocalSystem, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {"URL": system.url, "TOKEN": system.token("admin"), "CLIENT_TOKEN": system.token("client")}
    return subprocess.run(
        ["make", "-s", "e2e"], cwd=ROOT, env=os.environ | own | environ, capture_output=True, text=True, check=False
    )


def test_fails_without_a_provider(system: LocalSystem) -> None:
    ended = e2e(system)

    assert "FAILED | completion" in ended.stdout
    assert ended.returncode != 0


def test_passes_every_check_with_a_registered_provider(system: LocalSystem) -> None:
    ended = e2e(system, PROVIDER_ENDPOINT=f"{system.tokenhub_url}/v1", PROVIDER_KEY=KEY)
    print(ended.stdout)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("| ok |") == len(CHECKS)
    headers = {"Authorization": f"Bearer {system.token('admin')}"}
    left = httpx.get(f"{system.url}/api/v1/providers", headers=headers, timeout=30, trust_env=False).json()
    assert not [provider["id"] for provider in left if provider["id"].startswith("smoke-")]


ONLY_STREAMED = {"chunk timing", "first event", "keep-alive", "response of 7 MB"}


def test_framed_mode_fails_only_the_documented_checks() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    with LocalSystem(environ={"LOCAL_TOKEN": "off", "PARAMETERS": "StreamMode=framed"}) as framed:
        ended = e2e(framed, PROVIDER_ENDPOINT=f"{framed.tokenhub_url}/v1", PROVIDER_KEY=KEY)

    assert set(re.findall(r"^\| FAILED \| ([^|]+) \|", ended.stdout, re.MULTILINE)) == ONLY_STREAMED
    assert all(f'"{name}"' in page for name in ONLY_STREAMED)


def test_proxy_mode_returns_502_on_every_v1_call() -> None:
    with LocalSystem(environ={"PARAMETERS": "StreamMode=proxy"}) as system:
        answer = httpx.get(f"{system.url}/v1/models", timeout=30, trust_env=False)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "gateway_error")


LOCAL_TOKEN = f"""token:
\t@$(MAKE) --no-print-directory -C {ROOT} token ENV=local
"""  # the page's ENV=dev is a stack on AWS


def test_documented_registration_works_as_written(system: LocalSystem, tmp_path: Path) -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    [block] = [
        found for found in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "GATEWAY_URL" in found
    ]
    own = {"URL": system.url, "AWS_PORT": str(system.aws_port), "TOKENHUB_API_KEY": KEY}
    (tmp_path / "Makefile").write_text(LOCAL_TOKEN)
    example = (ROOT / "bootstrap.local.example").read_text()
    script = tmp_path / "bootstrap.local"
    script.write_text(example.replace("http://localhost:8090", system.tokenhub_url))
    script.chmod(0o755)

    ended = subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "tokenhub is healthy.\n"), ended.stderr


def test_fails_with_the_client_token_as_admin(system: LocalSystem) -> None:
    ended = e2e(system, TOKEN=system.token("client"))

    assert "FAILED | providers | an array without keys | 403 forbidden" in ended.stdout
