"""The template as SAM renders it for CloudFormation."""

import copy
import os
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.template import template

PARAMETERS = {
    "Architecture": "arm64",
    "LogLevel": "INFO",
    "LogRetentionDays": "30",
    "PrivateNetworks": "refuse",
    "Data": "keep",
    "Platform": "aws",
    "AwsEndpointUrl": "",
    "ConnectSeconds": "",
    "FirstByteSeconds": "",
    "StreamIdleSeconds": "",
    "WholeSeconds": "",
    "KeepAliveSeconds": "",
}


def render(**changed_layers: str) -> dict[str, Any]:
    """The rendered template. `GatewayLayer="2"` gives that layer other content than it had."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    given = copy.deepcopy(template())
    for name, resource in given["Resources"].items():
        properties = resource.get("Properties", {})
        for uri in ("CodeUri", "ContentUri"):
            if uri in properties:
                properties[uri] = f"s3://bucket/{name}-{changed_layers.get(name, '1')}"
    return dict(Translator({}, Parser()).translate(given, PARAMETERS))


def of_type(resource_type: str, resources: dict[str, Any]) -> dict[str, Any]:
    """The properties of every resource of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in resources.items()
        if resource["Type"] == resource_type
    }
