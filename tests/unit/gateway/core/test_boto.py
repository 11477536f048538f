import subprocess
import sys
from threading import Thread

import botocore.session
import pytest

from gateway.core.boto import SERVICES, KnownServices, lazy_client

CREATE = f"""
import boto3
from gateway.core.boto import set_up_boto3
set_up_boto3()
names = [boto3.client(name, region_name="us-east-1").meta.service_model.service_name for name in {SERVICES}]
table = boto3.resource("dynamodb", region_name="us-east-1").Table("providers")
session = boto3.DEFAULT_SESSION
set_up_boto3()
print(names, table.name, boto3.DEFAULT_SESSION is session)
"""


def test_the_session_creates_the_clients_of_all_functions() -> None:
    environ = {"PYTHONPATH": ":".join(sys.path)}
    output = subprocess.run([sys.executable, "-c", CREATE], env=environ, capture_output=True, text=True, check=True)

    assert output.stdout == f"{SERVICES} providers True\n"


REGIONS = ["us-east-1", "eu-central-1", "il-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"]


@pytest.fixture(scope="module")
def sessions() -> list[botocore.session.Session]:
    """A session of ours and one of botocore's own."""
    ours, botocores = botocore.session.Session(), botocore.session.Session()
    ours.register_component("data_loader", KnownServices())
    return [ours, botocores]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("variable", ["", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_clients_have_the_endpoints_and_signatures_of_botocore(
    sessions: list[botocore.session.Session], service: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, "true")
    for region in REGIONS:
        ours, expected = (
            session.create_client(service, region, aws_access_key_id="key", aws_secret_access_key="secret").meta
            for session in sessions
        )

        assert ours.endpoint_url == expected.endpoint_url
        assert ours.config.signature_version == expected.config.signature_version
        assert ours.partition == expected.partition


def test_a_lazy_client_is_created_once_by_its_first_use() -> None:
    created: list[str] = []

    def create() -> str:
        created.append("client")
        return "client"

    client = lazy_client(create)
    assert created == []

    threads = [Thread(target=client.upper) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (client.upper(), created) == ("CLIENT", ["client"])
