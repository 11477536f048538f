#!/usr/bin/env bash
# One error frame in the middle of an answer: openai-python raises, anthropic-python ends as if all were well.
#
# Versions: openai 3.57.0, anthropic 2.14.0 (PyPI).
# Expected: the frame `data: {"type":"error","error":{…}}` names itself an error inside its JSON, as every frame of
#           Anthropic's stream names its type. An SDK that reads it raises an error.
# Seen:     openai-python raises an APIError. anthropic-python skips every frame without an `event:` line before it
#           looks at the JSON: `text_stream` ends without an error, and `get_final_message()` returns half an answer. Its
#           only trace is that `stop_reason` is None. With the line `event: error` in front, anthropic-python raises.
# Matters:  A gateway in front of both protocols cannot send one error frame of plain `data:` to all its clients.
# Source:   anthropic-python: `Stream.__stream__` in `anthropic/_streaming.py`; openai-python: `openai/_streaming.py`.
#           Anthropic's page "Streaming messages", section "Error events".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q openai==3.57.0 anthropic==2.14.0

cat > finding.py <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import openai

ERROR_DATA = 'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
ERRORS = {"unnamed": ERROR_DATA, "named": "event: error\n" + ERROR_DATA}
STATED = {
    ("openai", "unnamed"): "'half' then APIError",
    ("openai", "named"): "'half' then APIError",
    ("anthropic", "unnamed"): "'half' with stop_reason None, no error",
    ("anthropic", "named"): "'half' then APIStatusError",
}


def chat_chunk():
    choice = {"index": 0, "delta": {"content": "half"}, "finish_reason": None}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(document)}\n\n"


def message_events():
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None}
    message |= {"stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half"}},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        start = message_events() if "messages" in self.path else chat_chunk()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write((start + ERRORS[self.path.split("/")[1]]).encode())

    def log_message(self, *_):
        pass


MESSAGES = [{"role": "user", "content": "hello"}]


def read_with_openai(base_url):
    text = ""
    try:
        client = openai.OpenAI(api_key="unused", base_url=base_url + "/v1", max_retries=0, timeout=10)
        for chunk in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            text += chunk.choices[0].delta.content
        return f"{text!r}, no error"
    except openai.APIError as error:
        return f"{text!r} then {type(error).__name__}"


def read_with_anthropic(base_url):
    text = ""
    try:
        client = anthropic.Anthropic(api_key="unused", base_url=base_url, max_retries=0, timeout=10)
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            for part in stream.text_stream:
                text += part
            return f"{text!r} with stop_reason {stream.get_final_message().stop_reason}, no error"
    except anthropic.APIError as error:
        return f"{text!r} then {type(error).__name__}"


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"versions: openai {openai.VERSION}, anthropic {anthropic.__version__}")
unchanged = True
for (sdk, error), stated in STATED.items():
    read = read_with_openai if sdk == "openai" else read_with_anthropic
    seen = read(f"http://127.0.0.1:{server.server_port}/{error}")
    print(f"{sdk}, {error} frame\n  expected: 'half' then an error\n  seen:     {seen}")
    unchanged = unchanged and seen == stated
server.shutdown()
print("The finding holds." if unchanged else "The behaviour changed.")
sys.exit(0 if unchanged else 1)
PYTHON
timeout 60 venv/bin/python finding.py
