"""Stored data is encrypted, recoverable and protected from deletion, and it expires."""

from typing import Any

import pytest

from tests.structure.rendered import of_type, render
from tests.template import template

RESOURCES = template()["Resources"]
RETAINED_TABLES = ("ProvidersTable", "RollUpsTable")
RETAINED = (*RETAINED_TABLES, "ProviderKeysKey")


@pytest.mark.parametrize("name", of_type("AWS::DynamoDB::Table", RESOURCES))
def test_tables_are_encrypted_with_kms(name: str) -> None:
    assert RESOURCES[name]["Properties"]["SSESpecification"] == {"SSEEnabled": True}


@pytest.mark.parametrize("name", RETAINED_TABLES)
def test_retained_tables_have_recovery_and_deletion_protection(name: str) -> None:
    table = RESOURCES[name]["Properties"]

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] == {"Fn::If": ["RetainData", True, False]}


@pytest.mark.parametrize("name", RETAINED)
def test_registry_and_key_are_retained_by_default(name: str) -> None:
    kept = "RetainExceptOnCreate" if name == "ProviderKeysKey" else "Retain"

    assert RESOURCES[name]["DeletionPolicy"] == {"Fn::If": ["RetainData", kept, "Delete"]}
    assert RESOURCES[name]["UpdateReplacePolicy"] == {"Fn::If": ["RetainData", "Retain", "Delete"]}
    assert template()["Parameters"]["Data"]["Default"] == "keep"


def test_key_rotation_is_enabled() -> None:
    assert RESOURCES["ProviderKeysKey"]["Properties"]["EnableKeyRotation"] is True


@pytest.mark.parametrize("name", ["HeartbeatsTable", "RollUpsTable"])
def test_history_expires(name: str) -> None:
    history = RESOURCES[name]["Properties"]

    assert history["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_each_function_has_a_log_group_with_retention() -> None:
    """Without a retention CloudWatch keeps logs forever."""
    groups = of_type("AWS::Logs::LogGroup", RESOURCES)
    used = [f["LoggingConfig"]["LogGroup"]["Ref"] for f in of_type("AWS::Serverless::Function", RESOURCES).values()]

    assert len(set(used)) == len(used)
    assert set(used) <= groups.keys()
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def test_functions_do_not_log_events() -> None:
    """Events hold secrets: the token for the authorizer, prompts and keys for the other functions."""
    for function in of_type("AWS::Lambda::Function", render()["Resources"]).values():
        assert not [name for name in function["Environment"]["Variables"] if name.startswith("POWERTOOLS_")]
        assert "ApplicationLogLevel" not in function["LoggingConfig"]


def skips() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, skip)
        for name, resource in RESOURCES.items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]


def test_skipped_findings_have_a_reason() -> None:
    assert skips()
    assert not [(name, skip) for name, skip in skips() if len(skip.get("comment", "")) < 20]
