"""The request body that TokenHub sends to the model's provider. No I/O."""

from tools.rehearsal.request import Json, Request, message_text

ANTHROPIC_PROVIDER = "anthropic"
# TokenHub forwards these fields of a chat completion and drops all others (internal/httpapi/handlers_openai.go).
FORWARDED_FIELDS = ("temperature", "max_tokens", "top_p", "stop", "n", "tools", "tool_choice")
# Anthropic requires max_tokens, so TokenHub's adapter adds it (internal/providers/anthropic/adapter.go).
ANTHROPIC_MAX_TOKENS = 4096


def provider_body(request: Request, provider: str | None) -> Json:
    """Returns the body for a provider of this name. The raw routes keep the client's body and replace its model."""
    if request.path in ("/v1/messages", "/v1/embeddings"):
        return request.payload | {"model": request.model}
    body: Json = {"model": request.model} | _messages(request, provider) | _parameters(request)
    if provider == ANTHROPIC_PROVIDER:
        body = {"max_tokens": ANTHROPIC_MAX_TOKENS} | body
    return body | ({"stream": True} if request.wants_stream else {})


def _parameters(request: Request) -> Json:
    if request.path == "/v1/chat/completions":
        values = request.payload
        return {name: values[name] for name in FORWARDED_FIELDS if values.get(name) is not None}
    return {name: value for name, value in request.parameters.items() if name not in ("model", "messages", "stream")}


def _messages(request: Request, provider: str | None) -> Json:
    if provider != ANTHROPIC_PROVIDER:
        return {"messages": [_openai_message(message) for message in request.messages]}
    system = [message_text(message.get("content")) for message in request.messages if message.get("role") == "system"]
    messages = [
        {"role": message.get("role", ""), "content": message_text(message.get("content"))}
        for message in request.messages
        if message.get("role") != "system"
    ]
    return {"messages": messages} | ({"system": "\n".join(system)} if any(system) else {})


def _openai_message(message: Json) -> Json:
    """Keeps the role, the text and the link between a tool call and its result."""
    linked = {name: message[name] for name in ("tool_calls", "tool_call_id", "name") if message.get(name)}
    return {"role": message.get("role", ""), "content": message_text(message.get("content"))} | linked
