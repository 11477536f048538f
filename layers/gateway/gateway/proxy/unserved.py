"""The routes that TokenHub does not serve, and what a client uses instead (docs/tokenhub.md, 1.1).

The gateway forwards requests to them nevertheless, for other providers and for later versions of TokenHub. If a
provider does not have `/responses`, the gateway calls its `/chat/completions`. A 404 of `/responses` therefore has
another cause.
"""

CHAT_COMPLETIONS = "Use /v1/chat/completions."
ALTERNATIVES = {
    "/responses": "The provider serves /v1/responses. Check the ids in the request, such as previous_response_id.",
    "/completions": f"TokenHub does not serve /v1/completions. {CHAT_COMPLETIONS}",
    "/messages/count_tokens": (
        "TokenHub does not serve /v1/messages/count_tokens. The answers of /v1/messages and /v1/chat/completions have "
        "the token counts in usage."
    ),
}
ONE_MODEL = "TokenHub does not serve single models. GET /v1/models lists all of them."


def alternative_to(path: str) -> str | None:
    """Returns what to use instead of a path that TokenHub does not serve, or None for the paths that it serves."""
    return ONE_MODEL if path.startswith("/models/") else ALTERNATIVES.get(path)
