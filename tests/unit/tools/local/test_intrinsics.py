import pytest

from tools.local.intrinsics import ABSENT, Resolver

TEMPLATE = {
    "Parameters": {"Names": {"Default": ""}, "Count": {"Default": 2}},
    "Conditions": {"Some": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Names"}, ""]}]}},
}
NONE = {"Ref": "AWS::NoValue"}


def test_a_parameter_is_given_or_has_its_default() -> None:
    assert Resolver(TEMPLATE, {}).resolve([{"Ref": "Names"}, {"Ref": "Count"}]) == ["", "2"]
    assert Resolver(TEMPLATE, {"Names": "a", "Unknown": "b"}).resolve({"Ref": "Names"}) == "a"


def test_a_condition_decides_and_no_value_leaves_nothing() -> None:
    value = {"x": {"Fn::If": ["Some", {"Fn::Split": [",", {"Ref": "Names"}]}, NONE]}, "y": [1, NONE]}

    assert Resolver(TEMPLATE, {"Names": "a,b"}).resolve(value) == {"x": ["a", "b"], "y": [1]}
    assert Resolver(TEMPLATE, {}).resolve(value) == {"y": [1]}
    assert Resolver(TEMPLATE, {}).resolve(NONE) is ABSENT


def test_what_no_parameter_decides_stays_as_it_is() -> None:
    value = {"Ref": "Api", "a": {"Fn::GetAtt": ["Api", "Arn"]}, "b": {"Ref": "Api"}}

    assert Resolver(TEMPLATE, {}).resolve(value) == value


def test_a_condition_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="Fn::Or"):
        Resolver(TEMPLATE, {}).holds({"Fn::Or": []})
