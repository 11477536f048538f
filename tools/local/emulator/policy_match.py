"""Makes ministack's authorizer policies match paths with a line break, as IAM does: `*` matches any character.

Runs in the emulator's virtual environment.
"""

import re


def install() -> None:
    """Replaces ministack's private function, which its API Gateway looks up at each call; its version is pinned."""
    from ministack.services import apigateway_v1

    apigateway_v1._arn_matches = matches  # noqa: SLF001


def matches(pattern: str, arn: str) -> bool:
    """Returns whether an ARN matches a pattern with the wildcards `*` and `?`."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, arn, re.DOTALL) is not None
