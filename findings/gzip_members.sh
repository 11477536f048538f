#!/usr/bin/env bash
# A stream of gzip members: httpx, and openai-python on it, end after the first member without an error.
#
# Versions: httpx 0.28.1, httpx2 2.16.2, openai 3.57.0, urllib3 2.5.0 (PyPI), openai 6.49.0 (npm) on Node's fetch.
# Expected: RFC 1952 defines a gzip file as a series of members, one after the other. A sender may compress each event
#           of a stream as a member, and a client that sends `Accept-Encoding: gzip` reads them all.
# Seen:     httpx and httpx2 return the first member and drop the rest silently, although the chunked body is
#           complete. openai-python ends the answer after its first token, without an error. urllib3, and the npm
#           package of the same vendor, read every member.
# Matters:  A gateway that compresses event by event, or passes on such a body, shortens the answers of Python clients
#           to their first token, while Node's users see nothing wrong. Both SDKs offer gzip unless they are configured.
# Source:   RFC 1952, section 2.2. httpx: `GZipDecoder` in `httpx/_decoders.py` uses one `zlib.decompressobj`. Python's
#           page on zlib: data after the end of the compressed data is stored in `unused_data`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q httpx==0.28.1 httpx2==2.16.2 openai==3.57.0 urllib3==2.5.0
npm install --silent --no-audit --no-fund openai@6.49.0

cat > read.mjs <<'NODE'
import OpenAI from "openai";

const client = new OpenAI({ apiKey: "unused", baseURL: process.argv[2], maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];
let text = "";
for await (const chunk of await client.chat.completions.create({ model: "m", messages, stream: true })) {
  text += chunk.choices[0].delta.content;
}
console.log(text);
NODE

cat > finding.py <<'PYTHON'
import gzip
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import httpx2
import openai
import urllib3

WORDS = ["one", " two", " three"]


def event(text):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(document)}\n\n".encode()


EVENTS = [*map(event, WORDS), b"data: [DONE]\n\n"]
offers = {}


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        offers[self.path.split("/")[1]] = self.headers.get("accept-encoding", "")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-encoding", "gzip")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for member in map(gzip.compress, EVENTS):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(member), member))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def count(body):
    return f"{body.count(b'data:')} events"


def read_with_openai(url):
    client = openai.OpenAI(api_key="unused", base_url=url, max_retries=0, timeout=10)
    messages = [{"role": "user", "content": "hello"}]
    chunks = client.chat.completions.create(model="m", messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content for chunk in chunks)


def read_with_node(url):
    command = ["node", "read.mjs", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


OFFER = {"accept-encoding": "gzip"}
READERS = {
    "urllib3": lambda url: count(urllib3.request("POST", url, headers=OFFER, timeout=10).data),
    "httpx": lambda url: count(httpx.post(url, timeout=10, trust_env=False).content),
    "httpx2": lambda url: count(httpx2.post(url, timeout=10, trust_env=False).content),
    "openai-node": read_with_node,
    "openai-python": read_with_openai,
}
EXPECTED = {name: "one two three" if "openai" in name else "4 events" for name in READERS}
STATED = EXPECTED | {"httpx": "1 events", "httpx2": "1 events", "openai-python": "one"}

server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"versions: urllib3 {urllib3.__version__}, httpx {httpx.__version__}, httpx2 {httpx2.__version__}")
print(f"          openai {openai.VERSION} (PyPI), openai 6.49.0 (npm)")
unchanged = True
for name, read in READERS.items():
    seen = read(f"http://127.0.0.1:{server.server_port}/{name}/v1")
    print(f"{name}, accepts {offers[name]}\n  expected: {EXPECTED[name]}\n  seen:     {seen}")
    unchanged = unchanged and seen == STATED[name] and "gzip" in offers[name]
server.shutdown()
print("The finding holds." if unchanged else "The behaviour changed.")
sys.exit(0 if unchanged else 1)
PYTHON
timeout 90 venv/bin/python finding.py
