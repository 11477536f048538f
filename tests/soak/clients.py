"""The clients of a soak run: each mixes streams with changes of its provider, and records the responses."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.rehearsal import chat_body, streamed_text

STREAM_SHARE = 0.7
TEXT = "Grüße aus Zürich, 東京 und 🚀 im All " * 4
_END_MARK = b"data: [DONE]\n\n"
_TIMEOUT_S = 90
# All clients together then use about half of a processor, so that other tests can run beside them.
MAX_PAUSE_S = 2.0


@dataclass
class Client:
    """One client. `outcomes` counts its responses by kind, `violations` describes those that must never happen."""

    number: int
    url: str
    upstream: str
    token: str
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    # The last acknowledged and the last sent value of the provider's description.
    acknowledged: int | None = None
    sent: int = 0

    @property
    def provider(self) -> str:
        return f"client-{self.number}"

    def run(self, stopping: threading.Event) -> None:
        """Sends requests until `stopping` is set."""
        choice = random.Random(self.number)
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not stopping.is_set():
                self._send(client, self._stream if choice.random() < STREAM_SHARE else self._write)
                stopping.wait(choice.uniform(0, MAX_PAUSE_S))

    def _send(self, client: httpx.Client, request: Callable[[httpx.Client], None]) -> None:
        """Sends one request. Records errors, because an error would end the thread and its checks."""
        try:
            request(client)
        except httpx.HTTPError as error:
            # The client notices a broken connection.
            self.outcomes[f"broken: {type(error).__name__}"] += 1
        except Exception as error:  # noqa: BLE001
            self.violations.append(f"{self.provider}: an answer that cannot be read: {type(error).__name__}: {error}")

    def _stream(self, client: httpx.Client) -> None:
        answer = client.post(
            "/v1/chat/completions", json=chat_body(TEXT, stream=True), headers={"X-Provider-Id": "shared"}
        )
        if answer.status_code != 200:
            self._refused(answer, "stream")
        elif b"\nevent: error\n" in answer.content or answer.content.startswith(b"event: error"):
            self.outcomes["stream: ended with an error event"] += 1
            self.answers.append(answer.text.rpartition("data: {")[2])
        elif answer.content.endswith(_END_MARK) and streamed_text(answer.content).endswith(TEXT):
            self.outcomes["stream: whole"] += 1
        else:
            self.violations.append(f"a stream that is not whole and has no error: {answer.content[-200:]!r}")

    def _write(self, client: httpx.Client) -> None:
        self.sent += 1
        path, description = f"/api/v1/providers/{self.provider}", str(self.sent)
        body: dict[str, Any] = {"description": description}
        if self.acknowledged is None:
            body |= {"id": self.provider, "endpoint": self.upstream, "heartbeat": {"enabled": False}}
            answer = client.post("/api/v1/providers", json=body)
        else:
            answer = client.patch(path, json=body)
        if answer.is_success:
            self.acknowledged = self.sent
            self.outcomes["write: acknowledged"] += 1
        else:
            self._refused(answer, "write")

    def _refused(self, answer: httpx.Response, kind: str) -> None:
        error = json.loads(answer.content)["error"]
        self.outcomes[f"{kind}: {answer.status_code} {error['code']}"] += 1
        self.answers.append(answer.text)

    def check_saved(self, saved: dict[str, int]) -> list[str]:
        """Reports a lost write of the client. `saved` has the saved description of each provider."""
        if self.acknowledged is None or self.acknowledged <= saved.get(self.provider, -1) <= self.sent:
            return []
        return [f"{self.provider}: acknowledged {self.acknowledged}, but saved {saved.get(self.provider)}"]
