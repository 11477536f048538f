"""A short run of the state machine. tests/e2e/test_registry_in_any_order.py runs more and longer examples."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Aws
from tests.moto_memory import read_moto_memory
from tests.registry_machine import RegistryMachine


# Takes ten seconds of processor time, which is minutes on a busy machine.
@pytest.mark.timeout(600)
def test_registry_matches_model_after_any_operations(aws: Aws) -> None:
    run_state_machine_as_test(
        lambda: RegistryMachine(aws.providers, aws.heartbeats, aws.kms, aws.key_arn, read_moto_memory),  # type: ignore[arg-type]
        settings=settings(max_examples=12, stateful_step_count=25, deadline=None),
    )
