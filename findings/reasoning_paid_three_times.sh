#!/usr/bin/env bash
# The AI SDK sends a prompt three times if a 200 stream fails after its reasoning and before its text.
#
# Versions: ai 6.0.326, @ai-sdk/openai 3.0.141, @ai-sdk/openai-compatible 2.0.92 (npm).
# Expected: retries end with the status line. After a 200 and the first events of the answer, an error frame is
#           reported once, as @ai-sdk/openai-compatible does.
# Seen:     `.chat()` of @ai-sdk/openai holds the stream back until text or a tool call arrives. An error frame before
#           that becomes an exception that `streamText` retries twice: three requests. `reasoning_content`, which
#           compatible providers send, does not count as output, so minutes of paid reasoning are repeated. The status
#           is guessed from parts of `type` and `code`: an unknown type counts as 500 and is retried, `invalid_…` is
#           not retried.
# Matters:  A gateway reports a lost provider by an error frame inside a 200. With this client its users pay for the
#           prompt three times, unless the error's type contains a word that means a permanent error.
# Source:   @ai-sdk/openai: `throwIfOpenAIStreamErrorBeforeOutput`, `getStatusCode`; AI SDK reference of `streamText`:
#           `maxRetries`, 2 unless set.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund ai@6.0.326 @ai-sdk/openai@3.0.141 @ai-sdk/openai-compatible@2.0.92

cat > finding.mjs <<'NODE'
import http from "node:http";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const frame = (document) => `data: ${JSON.stringify(document)}\n\n`;
const chunk = (delta) =>
  frame({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta }] });
const error = (type) => frame({ error: { message: "The provider is gone.", type, code: null, param: null } });
const reasoning = chunk({ role: "assistant", reasoning_content: "a long thought" });

let body = "";
let requests = 0;
const server = http.createServer((request, response) => {
  requests += 1;
  request.resume();
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end(body);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const settings = { name: "p", apiKey: "unused", baseURL: `http://127.0.0.1:${server.address().port}/v1` };
const openai = createOpenAI(settings).chat("m");
const compatible = createOpenAICompatible(settings)("m");

async function countRequests(model) {
  requests = 0;
  for await (const _ of streamText({ model, prompt: "hello", onError: () => {} }).textStream);
  return requests;
}

const cases = [
  ["compatible: reasoning, then an error of an unknown type", compatible, reasoning + error("upstream_error"), 1],
  ["openai: reasoning, then an error of an unknown type", openai, reasoning + error("upstream_error"), 3],
  ["openai: reasoning, then server_error", openai, reasoning + error("server_error"), 3],
  ["openai: reasoning, then invalid_request_error", openai, reasoning + error("invalid_request_error"), 1],
  ["openai: text, then server_error", openai, chunk({ content: "half" }) + error("server_error"), 1],
];
console.log("versions: ai 6.0.326, @ai-sdk/openai 3.0.141, @ai-sdk/openai-compatible 2.0.92");
let unchanged = true;
for (const [name, model, stream, stated] of cases) {
  body = stream;
  const seen = await countRequests(model);
  console.log(`${name}\n  expected: 1 request\n  seen:     ${seen} request${seen === 1 ? "" : "s"}`);
  unchanged = unchanged && seen === stated;
}
server.close();
server.closeAllConnections();
console.log(unchanged ? "The finding holds." : "The behaviour changed.");
process.exitCode = unchanged ? 0 : 1;
NODE
timeout 90 node finding.mjs
