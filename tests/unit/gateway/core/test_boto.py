import subprocess
import sys
from threading import Thread

from gateway.core.boto import SERVICES, lazy_client

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
