"""Shortens the authorizer's output for a wrong token: API Gateway requires that it raises an exception."""

FIRST_LINE = "Traceback (most recent call last):"
REJECTION = "Exception: Unauthorized"
MESSAGE = "A request with a wrong token was rejected with 401."


class RejectedTokens:
    """Replaces the traceback of each rejected token by one line. All other lines stay as they are."""

    def __init__(self) -> None:
        # The lines of a traceback that has not ended, by log stream.
        self._tracebacks: dict[str, list[str]] = {}

    def shorten(self, stream: str, line: str) -> list[str]:
        """Returns the lines to print now. A traceback is held until its last line, which is not indented."""
        if line.rstrip() == FIRST_LINE:
            unfinished = self._tracebacks.pop(stream, [])
            self._tracebacks[stream] = [line]
            return unfinished
        traceback = self._tracebacks.get(stream)
        if traceback is None:
            return [line]
        if line.startswith(" "):
            traceback.append(line)
            return []
        del self._tracebacks[stream]
        return [MESSAGE] if line.rstrip() == REJECTION else [*traceback, line]
