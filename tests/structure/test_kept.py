"""What is kept: encrypted, recoverable, protected, and gone when it should be."""

from typing import Any

import pytest

from tests.structure.rendered import of_type, render
from tests.template import template

RESOURCES = template()["Resources"]
KEPT = ("ProvidersTable", "ProviderKeysKey")


@pytest.mark.parametrize("name", of_type("AWS::DynamoDB::Table", RESOURCES))
def test_every_table_is_encrypted_under_a_kms_key(name: str) -> None:
    assert RESOURCES[name]["Properties"]["SSESpecification"] == {"SSEEnabled": True}


def test_the_registry_can_be_recovered_and_is_not_deleted_by_mistake() -> None:
    registry = RESOURCES["ProvidersTable"]["Properties"]

    assert registry["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert registry["DeletionProtectionEnabled"] == {"Fn::If": ["KeepData", True, False]}


@pytest.mark.parametrize("name", KEPT)
def test_the_registry_and_its_key_outlive_the_stack_unless_it_is_for_throwing_away(name: str) -> None:
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert RESOURCES[name][policy] == {"Fn::If": ["KeepData", "Retain", "Delete"]}
    assert template()["Parameters"]["Data"]["Default"] == "keep"


def test_the_key_is_rotated() -> None:
    assert RESOURCES["ProviderKeysKey"]["Properties"]["EnableKeyRotation"] is True


def test_the_history_expires_by_itself() -> None:
    history = RESOURCES["HeartbeatsTable"]["Properties"]

    assert history["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_every_function_logs_into_a_group_with_a_retention() -> None:
    """CloudWatch encrypts every group; what it keeps for ever is a choice that nobody made."""
    groups = of_type("AWS::Logs::LogGroup", RESOURCES)
    used = [f["LoggingConfig"]["LogGroup"]["Ref"] for f in of_type("AWS::Serverless::Function", RESOURCES).values()]

    assert len(set(used)) == len(used)
    assert set(used) <= groups.keys()
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def test_no_function_is_told_to_log_its_events() -> None:
    """An event of the authorizer is a token; one of the others has a prompt or a key in it."""
    for function in of_type("AWS::Lambda::Function", render()["Resources"]).values():
        assert not [name for name in function["Environment"]["Variables"] if name.startswith("POWERTOOLS_")]
        assert "ApplicationLogLevel" not in function["LoggingConfig"]


def skips() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, skip)
        for name, resource in RESOURCES.items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]


def test_every_finding_that_is_passed_over_says_why() -> None:
    assert skips()
    assert not [(name, skip) for name, skip in skips() if len(skip.get("comment", "")) < 20]
