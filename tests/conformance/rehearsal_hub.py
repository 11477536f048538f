"""The rehearsal TokenHub as the subject of the conformance tests."""

from typing import Any

from tests.conformance.hub import Models, Play, Refusal
from tests.rehearsal import RunningTokenHub


class RehearsalHub:
    key = f"tokenhub_{'0f' * 32}"
    models = Models(
        openai="gpt-4o",
        anthropic="claude-sonnet-4-6",
        embedding="text-embedding-3-small",
        provider="openai",
        alias="fast",
        alias_target="gpt-4o-mini",
    )

    def __init__(self) -> None:
        self._tokenhub = RunningTokenHub(strict_keys=True)
        self._tokenhub.start()
        self.url = self._tokenhub.url

    def prepare(self) -> None:
        self._tokenhub.reset()

    def play(self, play: Play) -> None:
        self._tokenhub.rehearse(play.value)

    def refused_key(self, refusal: Refusal) -> str:
        self._tokenhub.rehearse(refusal.value)
        return self.key

    def forwarded(self) -> dict[str, Any]:
        forwarded = self._tokenhub.requests[-1].forwarded
        assert forwarded is not None
        return forwarded

    def close(self) -> None:
        self._tokenhub.stop()
