import pytest

from gateway.proxy.upstream_errors import upstream_error

NOT_FOUND = b"404 page not found\n"


@pytest.mark.parametrize(
    ("path", "alternative"),
    [
        (
            "/responses",
            "The provider serves /v1/responses. Check the ids in the request, such as previous_response_id.",
        ),
        ("/completions", "TokenHub does not serve /v1/completions. Use /v1/chat/completions."),
        ("/messages/count_tokens", "TokenHub does not serve /v1/messages/count_tokens."),
        ("/models/openai%2Fgpt-4o", "TokenHub does not serve single models. GET /v1/models lists all of them."),
    ],
)
@pytest.mark.parametrize(("status", "body"), [(404, NOT_FOUND), (404, b""), (405, b"")])
def test_says_what_works_instead_of_an_unserved_path(status: int, body: bytes, path: str, alternative: str) -> None:
    error = upstream_error(status, body, path=path)

    assert alternative in error.message
    assert "endpoint" not in error.message
    assert (error.status, error.code, error.retryable) == (status, "provider_path_unknown", False)


@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/models", "/embeddings", ""])
def test_an_unknown_served_path_means_a_wrong_endpoint(path: str) -> None:
    assert "Check that the registered endpoint ends in /v1" in upstream_error(404, NOT_FOUND, path=path).message


def test_keeps_the_remedies_of_an_unknown_model_and_of_a_web_page() -> None:
    unknown = upstream_error(404, b'{"error": {"message": "The model x does not exist"}}', path="/models/x")
    page = upstream_error(404, b"<html></html>", path="/models/x")

    assert unknown.code == "provider_model_unknown"
    assert "web page" in page.message
