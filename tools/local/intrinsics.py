"""Resolves the CloudFormation intrinsic functions that depend on template parameters alone."""

from collections.abc import Callable, Mapping
from typing import Any

# The result of AWS::NoValue: the property is removed.
ABSENT = object()


class Resolver:
    """Resolves Ref, Fn::If and Fn::Split in one parsed template. `parameters` override the template's defaults."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        declared = template.get("Parameters", {})
        defaults = {name: str(entry["Default"]) for name, entry in declared.items() if "Default" in entry}
        self._parameters = defaults | {name: value for name, value in parameters.items() if name in declared}
        self._conditions = template.get("Conditions", {})

    def resolve(self, value: Any) -> Any:
        """Returns the resolved value, or ABSENT. Leaves everything unchanged that parameters do not determine."""
        if isinstance(value, list):
            items = [self.resolve(item) for item in value]
            return [item for item in items if item is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            functions: dict[str, Callable[[Any], Any]] = {
                "Ref": self._ref,
                "Fn::If": self._if,
                "Fn::Split": self._split,
            }
            function = functions.get(name)
            if function is not None:
                return function(argument)
        resolved = {name: self.resolve(item) for name, item in value.items()}
        return {name: item for name, item in resolved.items() if item is not ABSENT}

    def is_true(self, condition: Any) -> bool:
        """Evaluates a condition: a name, Fn::Equals or Fn::Not. Raises ValueError for other functions."""
        if isinstance(condition, str):
            return self.is_true(self._conditions[condition])
        [(name, argument)] = condition.items()
        if name == "Fn::Not":
            return not self.is_true(argument[0])
        if name == "Fn::Equals":
            return str(self.resolve(argument[0])) == str(self.resolve(argument[1]))
        raise ValueError(f"the local system does not support the condition function {name}")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        return self._parameters.get(name, {"Ref": name})

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self.is_true(condition) else otherwise)

    def _split(self, argument: list[Any]) -> Any:
        separator, text = argument
        return str(self.resolve(text)).split(separator)
