"""The scripted model providers behind a real TokenHub: one in OpenAI's and one in Anthropic's style."""

import json
from typing import Any

from tests.conformance.hub import Play
from tests.scripted_server import JSON, Pieces, Request, ScriptedServer, response
from tools.rehearsal import failures
from tools.rehearsal.routes import OPENAI_HAS_NO_MESSAGES
from tools.rehearsal.streams import Echo, Stream, anthropic_message, anthropic_stream, error_frame, openai_stream

type Body = dict[str, Any]

OPENAI_ERRORS: dict[Play, tuple[int, Body]] = {
    Play.UNAUTHORIZED: (401, failures.PROVIDER_ERROR),
    Play.RATE_LIMITED: (429, failures.RATE_LIMIT_ERROR),
    Play.OVERLOADED: (503, failures.OVERLOADED_ERROR),
    Play.ERROR_WITH_STATUS_200: (200, failures.PROVIDER_ERROR),
}
ANTHROPIC_ERRORS: dict[Play, tuple[int, Body]] = {
    Play.UNAUTHORIZED: (401, failures.anthropic_provider_error("authentication_error", "invalid x-api-key")),
    Play.RATE_LIMITED: (429, failures.anthropic_provider_error("rate_limit_error", "Number of requests exceeded.")),
    Play.OVERLOADED: (529, failures.anthropic_provider_error("overloaded_error", "Overloaded")),
    Play.ERROR_WITH_STATUS_200: (200, failures.anthropic_provider_error("authentication_error", "invalid x-api-key")),
}
PROVIDER_HEADERS = {"x-request-id": "provider-request-id", "openai-processing-ms": "7", "retry-after": "7"}
CUT_AFTER_TOKENS = 3


class ModelProvider:
    """A scripted provider that echoes the last message. `play` changes its answers.

    It appends each request to `received`, except TokenHub's own health probes.
    """

    def __init__(self, received: list[Request], *, anthropic: bool) -> None:
        self.play = Play.ECHO
        self._received = received
        self._anthropic = anthropic
        self.server = ScriptedServer(self._answer)

    def _answer(self, request: Request) -> Pieces:
        errors = ANTHROPIC_ERRORS if self._anthropic else OPENAI_ERRORS
        path = "/v1/messages" if self._anthropic else "/v1/chat/completions"
        if request.method != "POST":
            return json_pieces(200, {"object": "list", "data": []})
        self._received.append(request)
        if request.target == "/v1/embeddings" and not self._anthropic and self.play not in errors:
            return json_pieces(200, embedding(request.json()))
        if request.target not in (path, "/v1/embeddings"):
            return json_pieces(404, OPENAI_HAS_NO_MESSAGES)
        if self.play in errors:
            return json_pieces(*errors[self.play])
        return self._completion(request.json())

    def _completion(self, body: Body) -> Pieces:
        echo = echo_of(body)
        if not body.get("stream"):
            return json_pieces(200, anthropic_message(echo) if self._anthropic else openai_completion(echo))
        stream = anthropic_stream(echo) if self._anthropic else openai_stream(echo)
        return response((b"".join(self._frames(stream)),), headers={"content-type": "text/event-stream"})

    def _frames(self, stream: Stream) -> tuple[bytes, ...]:
        if self.play is Play.CUT:
            return stream.frames[: stream.leading + CUT_AFTER_TOKENS]
        if self.play is Play.ERROR_IN_BAND:
            return (*stream.frames[: stream.leading + 1], error_frame(anthropic=self._anthropic))
        return stream.frames


def json_pieces(status: int, body: Body) -> Pieces:
    return response((json.dumps(body).encode(),), status, JSON | PROVIDER_HEADERS, framing="length")


def echo_of(body: Body) -> Echo:
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    words = text.split(" ")
    return Echo(body["model"], tuple(words[:1] + [f" {word}" for word in words[1:]]), False, len(words))


def openai_completion(echo: Echo) -> Body:
    message = {"role": "assistant", "content": echo.text, "refusal": None}
    usage: Body = echo.openai_usage | {"prompt_tokens_details": {"cached_tokens": 0}}
    body: Body = {"id": "chatcmpl-provider", "object": "chat.completion", "created": 1, "model": echo.model}
    body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return body | {"usage": usage, "system_fingerprint": "fp_provider"}


def embedding(body: Body) -> Body:
    row = {"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "data": [row], "model": body["model"], "usage": usage}
