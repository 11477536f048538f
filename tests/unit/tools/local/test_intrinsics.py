import pytest

from tools.local.intrinsics import ABSENT, Resolver

TEMPLATE = {
    "Parameters": {"Names": {"Default": ""}, "Count": {"Default": 2}},
    "Conditions": {"Some": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Names"}, ""]}]}},
}
NONE = {"Ref": "AWS::NoValue"}


def test_parameter_overrides_its_default() -> None:
    assert Resolver(TEMPLATE, {}).resolve([{"Ref": "Names"}, {"Ref": "Count"}]) == ["", "2"]
    assert Resolver(TEMPLATE, {"Names": "a", "Unknown": "b"}).resolve({"Ref": "Names"}) == "a"


def test_conditions_select_values_and_no_value_removes_them() -> None:
    value = {"x": {"Fn::If": ["Some", {"Fn::Split": [",", {"Ref": "Names"}]}, NONE]}, "y": [1, NONE]}

    assert Resolver(TEMPLATE, {"Names": "a,b"}).resolve(value) == {"x": ["a", "b"], "y": [1]}
    assert Resolver(TEMPLATE, {}).resolve(value) == {"y": [1]}
    assert Resolver(TEMPLATE, {}).resolve(NONE) is ABSENT


def test_leaves_other_intrinsics_unchanged() -> None:
    value = {"Ref": "Api", "a": {"Fn::GetAtt": ["Api", "Arn"]}, "b": {"Ref": "Api"}}

    assert Resolver(TEMPLATE, {}).resolve(value) == value


def test_rejects_unknown_condition_functions() -> None:
    with pytest.raises(ValueError, match="Fn::Or"):
        Resolver(TEMPLATE, {}).is_true({"Fn::Or": []})
