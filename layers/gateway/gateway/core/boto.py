"""Makes boto3 start faster: a session limited to the gateway's services, and clients created at their first use."""

from collections.abc import Callable
from threading import Lock
from typing import Any, cast

import boto3
import botocore.session
from botocore.loaders import Loader

# The services that the functions call. boto3 has a resource for one of them.
SERVICES = ["dynamodb", "kms", "lambda"]
RESOURCES = ["dynamodb"]


class KnownServices(Loader):
    """Loads service models without a search for all services and without the endpoints of all services.

    botocore lists the folders of its 400 services several times to check a name, which takes a tenth of the time to
    create a client. Parsing endpoints.json takes half of it. The rules of each service's own model decide its endpoint,
    so botocore needs no partition from that file.
    """

    def list_available_services(self, type_name: str) -> list[str]:
        """Returns the names of the services that the functions call."""
        return RESOURCES if type_name == "resources-1" else SERVICES

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Returns botocore's data and its path. The data of `endpoints` has no partitions."""
        if name == "endpoints":
            # With any other path botocore would use this file's endpoints instead of the service's rules.
            return {"partitions": []}, self.BUILTIN_DATA_PATH
        return super().load_data_with_path(name)


def set_up_boto3() -> None:
    """Sets boto3's default session to one that knows only these services, unless a default session exists."""
    if boto3.DEFAULT_SESSION is None:
        session = botocore.session.Session()
        session.register_component("data_loader", KnownServices())
        boto3.setup_default_session(botocore_session=session)


def lazy_client[Client](create: Callable[[], Client]) -> Client:
    """Returns a client that is created at its first use, for calls that few requests make. Thread-safe."""
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
