#!/usr/bin/env bash
# An SSE keep-alive comment stops openai-python once the stream has sent an event id.
#
# Versions: openai 3.57.0 (PyPI), openai 6.49.0 (npm).
# Expected: a comment, or a `retry:` field, that is followed by a blank line dispatches nothing, because the event has
#           no data. The HTML standard says so, and shows a comment block as the first example of an event stream.
# Seen:     openai-python ends the answer with a JSONDecodeError in two cases: a comment block after any event that
#           had an `id:` line, and a block that holds only `retry:`. The event id stays set as the standard demands,
#           and the decoder takes the set id as a reason to dispatch the empty event. The npm package of the same
#           vendor reads both streams to the end. A comment line without a blank line after it is safe in both.
# Matters:  A streaming gateway that fills a silence with keep-alive blocks works in every test against a provider
#           without event ids, and breaks the answers of a provider that sends them.
# Source:   HTML Standard, section "Interpreting an event stream": dispatch returns early if the data buffer is empty.
#           openai-python: `SSEDecoder.decode` and `Stream.__stream__` in `openai/_streaming.py`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q openai==3.57.0
npm install --silent --no-audit --no-fund openai@6.49.0

cat > read.mjs <<'NODE'
import OpenAI from "openai";

let text = "";
try {
  const client = new OpenAI({ apiKey: "unused", baseURL: process.argv[2], maxRetries: 0 });
  const messages = [{ role: "user", content: "hello" }];
  for await (const chunk of await client.chat.completions.create({ model: "m", messages, stream: true })) {
    text += chunk.choices[0].delta.content;
  }
  console.log(text);
} catch (error) {
  console.log(`${text} then ${error.constructor.name}`);
}
NODE

cat > finding.py <<'PYTHON'
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai


def chunk(text):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(document)}\n\n"


DONE = "data: [DONE]\n\n"
BODIES = {
    "comment": chunk("one ") + ": keep-alive\n\n" + chunk("two") + DONE,
    "id-comment-line": "id: 1\n" + chunk("one ") + ": keep-alive\n" + chunk("two") + DONE,
    "id-comment-block": "id: 1\n" + chunk("one ") + ": keep-alive\n\n" + chunk("two") + DONE,
    "retry-block": chunk("one ") + "retry: 3000\n\n" + chunk("two") + DONE,
}
WHOLE = "one two"
BROKEN = "one  then JSONDecodeError"
STATED = {
    "comment": (WHOLE, WHOLE),
    "id-comment-line": (WHOLE, WHOLE),
    "id-comment-block": (BROKEN, WHOLE),
    "retry-block": (BROKEN, WHOLE),
}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(BODIES[self.path.split("/")[1]].encode())

    def log_message(self, *_):
        pass


def read_with_python(base_url):
    text = ""
    try:
        client = openai.OpenAI(api_key="unused", base_url=base_url, max_retries=0, timeout=10)
        messages = [{"role": "user", "content": "hello"}]
        for event in client.chat.completions.create(model="m", messages=messages, stream=True):
            text += event.choices[0].delta.content
        return text
    except Exception as error:
        return f"{text} then {type(error).__name__}"


def read_with_node(base_url):
    command = ["node", "read.mjs", base_url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.rstrip("\n")


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"versions: openai {openai.VERSION} (PyPI), openai 6.49.0 (npm)")
unchanged = True
for name, stated in STATED.items():
    base_url = f"http://127.0.0.1:{server.server_port}/{name}/v1"
    seen = (read_with_python(base_url), read_with_node(base_url))
    print(f"{name}\n  expected: Python {WHOLE!r}, Node {WHOLE!r}\n  seen:     Python {seen[0]!r}, Node {seen[1]!r}")
    unchanged = unchanged and seen == stated
server.shutdown()
print("The finding holds." if unchanged else "The behaviour changed.")
sys.exit(0 if unchanged else 1)
PYTHON
timeout 120 venv/bin/python finding.py
