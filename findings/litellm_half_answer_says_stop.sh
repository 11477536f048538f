#!/usr/bin/env bash
# LiteLLM rebuilds half an answer as a whole one: its finish_reason is "stop", which no chunk contained.
#
# Versions: litellm 1.110.2 (PyPI).
# Expected: `stream_chunk_builder` rebuilds a response from the chunks of a stream. If the stream broke off before its
#           finish reason, the response has none, as in the SDKs of OpenAI.
# Seen:     `finish_reason` is "stop", for half a text and for a tool call whose arguments break off in the middle.
# Matters:  Callers keep what was received when a stream breaks, and rebuild it for their log, their cache or the next
#           turn. There it looks like a complete answer. A check for "length" does not notice the cut.
# Source:   LiteLLM's page "Streaming", section "Helper function"; `ChunkProcessor._finish_reason_of_chunks` in
#           `litellm/litellm_core_utils/streaming_chunk_builder_utils.py`, whose default for a missing reason is "stop".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q litellm==1.110.2

cat > finding.py <<'PYTHON'
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

litellm.suppress_debug_info = True


def chunk(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(document)}\n\n"


TOOL_CALL = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 12'}}
BODIES = {
    "text": chunk({"role": "assistant", "content": "The answer is"}),
    "tool": chunk({"role": "assistant", "tool_calls": [TOOL_CALL]}),
    "length": chunk({"role": "assistant", "content": "The answer is"}) + chunk({}, "length") + "data: [DONE]\n\n",
}
STATED = {
    "text": ("MidStreamFallbackError", "stop", None),
    "tool": ("MidStreamFallbackError", "stop", '{"amount": 12'),
    "length": (None, "length", None),
}
ERROR = 'data: {"error": {"message": "The provider is gone.", "type": "server_error", "code": null}}\n\n'


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        name = self.path.split("/")[1]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write((BODIES[name] + ("" if name == "length" else ERROR)).encode())

    def log_message(self, *_):
        pass


def rebuild(base_url):
    messages = [{"role": "user", "content": "hello"}]
    chunks, error = [], None
    try:
        for event in litellm.completion("openai/m", messages, api_base=base_url, api_key="unused", stream=True):
            chunks.append(event)
    except Exception as raised:
        error = type(raised).__name__
    choice = litellm.stream_chunk_builder(chunks, messages=messages).choices[0]
    calls = choice.message.tool_calls
    return error, choice.finish_reason, calls[0].function.arguments if calls else None


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"versions: litellm {version('litellm')}")
unchanged = True
for name, stated in STATED.items():
    seen = rebuild(f"http://127.0.0.1:{server.server_port}/{name}/v1")
    expected = (stated[0], stated[1] if name == "length" else None, stated[2])
    print(f"{name}: exception, finish_reason, arguments\n  expected: {expected}\n  seen:     {seen}")
    unchanged = unchanged and seen == stated
server.shutdown()
print("The finding holds." if unchanged else "The behaviour changed.")
sys.exit(0 if unchanged else 1)
PYTHON
timeout 240 venv/bin/python finding.py
