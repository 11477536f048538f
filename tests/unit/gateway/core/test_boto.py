import re
import subprocess
import sys
import time
from threading import Thread

from gateway.core.boto import SERVICES, lazy_client
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
