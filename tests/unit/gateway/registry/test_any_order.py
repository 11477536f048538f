from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Aws
from tests.registry_machine import RegistryMachine


def test_whatever_happens_to_a_registry_the_table_is_as_the_model_says(aws: Aws) -> None:
    run_state_machine_as_test(
        lambda: RegistryMachine(aws.providers, aws.heartbeats, aws.kms, aws.key_arn),  # type: ignore[arg-type]  # any factory does
        settings=settings(max_examples=25, stateful_step_count=30, deadline=None),
    )
