"""As much of CloudFormation's intrinsic functions as the front has to understand: those that parameters decide."""

from collections.abc import Callable, Mapping
from typing import Any

ABSENT = object()  # what AWS::NoValue stands for


class Resolver:
    """Resolves intrinsics of one parsed template (long forms), with the given parameters before its defaults."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        declared = template.get("Parameters", {})
        defaults = {name: str(found["Default"]) for name, found in declared.items() if "Default" in found}
        self._parameters = defaults | {name: value for name, value in parameters.items() if name in declared}
        self._conditions = template.get("Conditions", {})

    def resolve(self, value: Any) -> Any:
        """The value, or ABSENT. What parameters do not decide stays as it is."""
        if isinstance(value, list):
            found = [self.resolve(item) for item in value]
            return [item for item in found if item is not ABSENT]
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

    def holds(self, condition: Any) -> bool:
        """Whether a condition, given by its name or as Fn::Equals or Fn::Not, is met."""
        if isinstance(condition, str):
            return self.holds(self._conditions[condition])
        [(name, argument)] = condition.items()
        if name == "Fn::Not":
            return not self.holds(argument[0])
        if name == "Fn::Equals":
            return str(self.resolve(argument[0])) == str(self.resolve(argument[1]))
        raise ValueError(f"the local system does not know the condition {name}")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        return self._parameters.get(name, {"Ref": name})

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self.holds(condition) else otherwise)

    def _split(self, argument: list[Any]) -> Any:
        separator, text = argument
        return str(self.resolve(text)).split(separator)
