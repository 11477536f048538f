"""Reads one JSON job a line from stdin and prints one JSON result a line."""

import json
import sys
from collections.abc import Callable
from typing import Any

WEATHER = {
    "name": "get_weather",
    "description": "Returns the weather of a city.",
    "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FUNCTION = {"name": WEATHER["name"], "description": WEATHER["description"], "parameters": WEATHER["schema"]}
OPENAI_TOOLS = [{"type": "function", "function": FUNCTION}]
ANTHROPIC_TOOLS = [{"name": WEATHER["name"], "description": WEATHER["description"], "input_schema": WEATHER["schema"]}]

type Json = dict[str, Any]


def serve(run: Callable[[Json, Json], None]) -> None:
    """Calls `run(job, result)` for each job. `run` fills `text` and `calls`; an exception becomes `error`."""
    # LiteLLM prints hints to stdout.
    results, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        result: Json = {"text": "", "calls": [], "error": None}
        try:
            run(json.loads(line), result)
        # Every exception of a client is a result of the test.
        except Exception as error:  # noqa: BLE001
            status = getattr(error, "status_code", None)
            result["error"] = {"type": type(error).__name__, "status": status, "message": str(error)}
        print(json.dumps(result), file=results, flush=True)
