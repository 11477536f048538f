import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.model_names import is_substituted
from tests.unit.gateway.builders import BRIEFLY

NAMES = st.text("ab-@/0123456789", min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("asked", "negotiated"),
    [
        ("gpt-4o", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o", "azure/gpt-4o"),
        ("meta-llama/Llama-3", "together/meta-llama/Llama-3"),
        ("*", "gpt-4o"),
        ("", "gpt-4o"),
        (None, "gpt-4o"),
    ],
)
def test_a_prefix_or_a_free_choice_is_not_a_substitution(asked: str | None, negotiated: str) -> None:
    assert not is_substituted(asked, negotiated, None)
    # The name in the answer does not count beside TokenHub's.
    assert not is_substituted(asked, negotiated, "another")


@pytest.mark.parametrize(
    ("asked", "negotiated"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o"),
        ("openai/gpt-4o", "openai/gpt-4o-mini"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
    ],
)
def test_another_negotiated_model_is_a_substitution(asked: str, negotiated: str) -> None:
    assert is_substituted(asked, negotiated, None)
    assert is_substituted(asked, negotiated, asked)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("claude-sonnet-4", "claude-sonnet-4-20250514"),
        ("anthropic/claude-sonnet-4", "claude-sonnet-4@20250514"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4", "gpt-4-0613"),
        ("gemini-1.5-pro", "gemini-1.5-pro-002"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
    ],
)
def test_a_version_of_the_model_in_an_answer_is_not_a_substitution(asked: str, answered: str) -> None:
    assert not is_substituted(asked, None, answered)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
        ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"),
        ("claude-3-5-sonnet-latest", "claude-3-5-haiku-20241022"),
    ],
)
def test_another_model_or_version_in_an_answer_is_a_substitution(asked: str, answered: str) -> None:
    assert is_substituted(asked, None, answered)


def test_an_answer_without_any_name_is_not_a_substitution() -> None:
    assert not is_substituted("gpt-4o", None, None)


@BRIEFLY
@given(NAMES, NAMES, st.sampled_from(["", "-latest", "-20241022", "-2024-10-22", "@20241022"]))
def test_a_model_never_substitutes_itself(name: str, prefix: str, version: str) -> None:
    assert not is_substituted(name, name, None)
    assert not is_substituted(f"{prefix}/{name}", name, None)
    assert not is_substituted(name, None, f"{prefix}/{name}")
    assert not is_substituted(f"{name}x", None, f"{name}x{version}")
