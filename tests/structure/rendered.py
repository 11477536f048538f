"""The template as SAM renders it for CloudFormation, and as CloudFormation deploys it."""

import copy
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.template import template

DEFAULTS: Mapping[str, str] = MappingProxyType({})
NO_VALUE = {"Ref": "AWS::NoValue"}


def render(parameters: Mapping[str, str] = DEFAULTS, /, **changed_layers: str) -> dict[str, Any]:
    """Renders the template with `parameters` over its defaults. `GatewayLayer="2"` changes the content of a layer."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    source = copy.deepcopy(template())
    for name, resource in source["Resources"].items():
        properties = resource.get("Properties", {})
        for uri in ("CodeUri", "ContentUri"):
            if uri in properties:
                properties[uri] = f"s3://bucket/{name}-{changed_layers.get(name, '1')}"
    return dict(Translator({}, Parser()).translate(source, chosen(parameters)))


def chosen(parameters: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter of the template: its default, or the one in `parameters`."""
    defaults = {name: str(declared["Default"]) for name, declared in template()["Parameters"].items()}
    assert parameters.keys() <= defaults.keys()
    return defaults | dict(parameters)


def deployed(parameters: Mapping[str, str] = DEFAULTS) -> dict[str, Any]:
    """The rendered template with conditions resolved and without the resources and outputs that they exclude."""
    rendered = render(parameters)
    conditions = Conditions(rendered.pop("Conditions"), chosen(parameters))
    for part in ("Resources", "Outputs"):
        rendered[part] = {
            name: {key: conditions.resolve(value) for key, value in item.items() if key != "Condition"}
            for name, item in rendered[part].items()
            if "Condition" not in item or conditions.holds(item["Condition"])
        }
    return rendered


class Conditions:
    """The conditions of a template for one set of parameters."""

    def __init__(self, declared: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._declared = declared
        self._parameters = parameters

    def holds(self, name: str) -> bool:
        return self._is_true(self._declared[name])

    def _is_true(self, condition: Mapping[str, Any]) -> bool:
        [(function, arguments)] = condition.items()
        match function:
            case "Condition":
                return self.holds(arguments)
            case "Fn::Not":
                return not self._is_true(arguments[0])
            case "Fn::And":
                return all(map(self._is_true, arguments))
            case "Fn::Or":
                return any(map(self._is_true, arguments))
            case "Fn::Equals":
                left, right = (self._value(argument) for argument in arguments)
                return left == right
        raise NotImplementedError(function)

    def _value(self, value: Any) -> str:
        return self._parameters[value["Ref"]] if isinstance(value, dict) else str(value)

    def resolve(self, value: Any) -> Any:
        """The value with every Fn::If resolved, without AWS::NoValue."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Fn::If"}:
            condition, then, otherwise = value["Fn::If"]
            return self.resolve(then if self.holds(condition) else otherwise)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item != NO_VALUE}


def of_type(resource_type: str, resources: dict[str, Any]) -> dict[str, Any]:
    """The properties of every resource of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in resources.items()
        if resource["Type"] == resource_type
    }
