"""A quicker start of boto3, for the functions that use it."""

from collections.abc import Callable
from threading import Lock
from typing import Any, cast

import boto3
import botocore.session
from botocore.loaders import Loader

# The services that the functions call, and those for which boto3 has a resource.
SERVICES = ["dynamodb", "events", "kms", "lambda"]
RESOURCES = ["dynamodb"]
HOST = "{service}.{region}.{dnsSuffix}"
FIPS_HOST = "{service}-fips.{region}.{dnsSuffix}"


class KnownServices(Loader):
    """Loads service models without a search for all services and without the endpoints of all services.

    botocore lists the folders of its 400 services several times, only to check a name, and parses 700 KB of endpoints.
    That is a sixth of a cold start (docs/benchmarks.md).
    """

    def list_available_services(self, type_name: str) -> list[str]:
        """Returns the names of the services that the functions call."""
        return RESOURCES if type_name == "resources-1" else SERVICES

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Returns a data file of botocore and its path. The endpoints follow the rule of all services in SERVICES."""
        if name != "endpoints":
            return super().load_data_with_path(name)
        data, path = super().load_data_with_path("partitions")
        return {"version": 3, "partitions": [_partition(partition) for partition in data["partitions"]]}, path


def _partition(data: dict[str, Any]) -> dict[str, Any]:
    """Returns a partition in the form of botocore's endpoints.json, without exceptions for single services."""
    suffix, dual_stack = data["outputs"]["dnsSuffix"], data["outputs"]["dualStackDnsSuffix"]
    variants = [
        {"tags": ["fips"], "dnsSuffix": suffix, "hostname": FIPS_HOST},
        {"tags": ["dualstack"], "dnsSuffix": dual_stack, "hostname": HOST},
        {"tags": ["dualstack", "fips"], "dnsSuffix": dual_stack, "hostname": FIPS_HOST},
    ]
    return {
        "partition": data["id"],
        "partitionName": data["id"],
        "dnsSuffix": suffix,
        "regionRegex": data["regionRegex"],
        "regions": {},
        "services": {},
        "defaults": {"hostname": HOST, "protocols": ["https"], "signatureVersions": ["v4"], "variants": variants},
    }


def set_up_boto3() -> None:
    """Makes boto3's default session one that knows only these services. Keeps a session that is set already."""
    if boto3.DEFAULT_SESSION is None:
        session = botocore.session.Session()
        session.register_component("data_loader", KnownServices())
        boto3.setup_default_session(botocore_session=session)


def lazy_client[Client](create: Callable[[], Client]) -> Client:
    """Returns a client that is created by its first use, for calls that few requests make. Threads may share it."""
    return cast("Client", _LazyClient(create))


class _LazyClient:
    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create
        self._client: Any = None
        self._lock = Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._create()
        return getattr(self._client, name)
