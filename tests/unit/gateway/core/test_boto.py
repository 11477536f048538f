import re
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.loaders import Loader

from gateway.core.boto import SERVICES, KnownServices, lazy_client
from tests.template import ROOT

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


def test_the_services_are_those_that_the_functions_call() -> None:
    sources = "".join(path.read_text() for path in ROOT.glob("functions/*/*.py"))

    assert set(re.findall(r"boto3\.(?:client|resource)\(\"(\w+)\"", sources)) == set(SERVICES)


def test_parses_no_endpoints_of_other_services() -> None:
    assert KnownServices().load_data("endpoints") == {"partitions": []}


# One operation of each service that needs no parameter.
OPERATIONS = {"dynamodb": "list_tables", "kms": "list_keys", "lambda": "list_functions"}


def regions() -> Iterator[tuple[str, str]]:
    """Two regions of each partition with each service."""
    session = botocore.session.Session()
    for service in SERVICES:
        for partition in session.get_available_partitions():
            yield from ((service, region) for region in session.get_available_regions(service, partition)[:2])


def sent_requests(loader: Loader) -> list[tuple[str, str]]:
    """The URL of one call and the scope of its signature, for each service and region."""
    session = botocore.session.Session()
    session.register_component("data_loader", loader)
    session.set_credentials("key", "secret")
    sent = []

    def record(request: AWSPreparedRequest, **_event: Any) -> Any:
        [scope] = re.findall(r"Credential=key/\d{8}/(\S+),", str(request.headers["Authorization"]))
        sent.append((request.url, scope))
        return AWSResponse(request.url, 200, HTTPHeaders(), RawBody())

    for service, region in regions():
        client = session.create_client(service, region_name=region)
        client.meta.events.register("before-send", record)
        getattr(client, OPERATIONS[service])()
    return sent


class RawBody:
    """An empty body, as urllib3 streams it."""

    def stream(self) -> Iterator[bytes]:
        yield b"{}"


def test_sends_requests_to_the_same_endpoints_as_botocore_in_every_partition() -> None:
    requests = sent_requests(KnownServices())

    assert len({scope.split("/")[0] for _, scope in requests}) > 10
    assert requests == sent_requests(Loader())


def test_a_lazy_client_is_created_once_by_its_first_use() -> None:
    created: list[str] = []

    def create() -> str:
        created.append("client")
        # The other threads need the client meanwhile.
        time.sleep(1)
        return "client"

    client = lazy_client(create)
    assert created == []

    def use() -> None:
        client.upper()

    threads = [Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (client.upper(), created) == ("CLIENT", ["client"])
