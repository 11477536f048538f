"""Errors about the headers and the fields of a forwarded request. `errors.py` has all other errors and the tree."""

from gateway.core.errors import InvalidRequest


class InvalidMetadata(InvalidRequest):
    code = "invalid_metadata"

    def __init__(self, reason: str) -> None:
        """`reason` is one sentence. It never contains the value of the header."""
        super().__init__(
            f'X-Gateway-Metadata {reason} Send a JSON object of up to 5 strings, such as {{"team": "search"}}.',
            param="X-Gateway-Metadata",
        )


class UnsupportedParameter(InvalidRequest):
    """A field of a Responses request that chat completions cannot express."""

    code = "unsupported_parameter"
