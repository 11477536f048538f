import pytest

from tools.local.rejected_tokens import MESSAGE, RejectedTokens

FRAMES = ["Traceback (most recent call last):", '  File "app.py", line 52, in handler', "    raise Exception(...)"]
REJECTED = [*FRAMES, "Exception: Unauthorized"]
FAILED = [*FRAMES, "ValueError: Unauthorized"]


def shown(lines: list[tuple[str, str]]) -> list[str]:
    tokens = RejectedTokens()
    return [printed for stream, line in lines for printed in tokens.shorten(stream, line)]


def on(stream: str, lines: list[str]) -> list[tuple[str, str]]:
    return [(stream, line) for line in lines]


def test_prints_one_line_for_a_rejected_token() -> None:
    assert shown(on("a", ["before", *REJECTED, "after"])) == ["before", MESSAGE, "after"]


@pytest.mark.parametrize("lines", [FAILED, ["  indented", "Exception: Unauthorized"], [*FAILED, "", *FAILED]])
def test_keeps_every_other_line(lines: list[str]) -> None:
    assert shown(on("a", lines)) == lines


def test_separates_streams_that_print_at_the_same_time() -> None:
    mixed = [pair for pairs in zip(on("a", REJECTED), on("b", FAILED), strict=True) for pair in pairs]

    assert shown(mixed) == [MESSAGE, *FAILED]


def test_keeps_a_traceback_that_another_one_interrupts() -> None:
    assert shown(on("a", [*FRAMES, *REJECTED])) == [*FRAMES, MESSAGE]
