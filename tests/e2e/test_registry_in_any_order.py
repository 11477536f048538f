"""A long run of the state machine on moto. tests/unit/gateway/registry/test_any_order.py is the short one."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Aws
from tests.moto_memory import read_moto_memory
from tests.registry_machine import RegistryMachine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_registry_matches_model_after_many_operations(aws: Aws) -> None:
    run_state_machine_as_test(
        lambda: RegistryMachine(aws.providers, aws.heartbeats, aws.kms, aws.key_arn, read_moto_memory),  # type: ignore[arg-type]
        settings=settings(max_examples=30, stateful_step_count=40, deadline=None),
    )
