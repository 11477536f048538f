#!/usr/bin/env bash
# Claude Code sends a prompt twice when a stream breaks, and shows nothing of it: the answer is paid for twice.
#
# Versions: @anthropic-ai/claude-code 2.1.197 (npm).
# Expected: an `error` event after the first text ends the answer, and Claude Code reports its message, as the SDKs of
#           the same vendor do. A repeated request would be a stream again, so that text arrives as it is generated.
# Seen:     the received text is discarded, and the same prompt is sent again without `stream`. Print mode shows the
#           second answer alone, with exit code 0. With CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK=1 one request is sent,
#           the message of the event is shown, and the exit code is 1.
# Matters:  A gateway reports a lost provider by an error event inside a 200. Here its users never see that report. They
#           pay for a prompt of many thousand tokens twice, and a second answer that takes minutes arrives without a
#           single byte in between, which is what idle timeouts cut.
# Source:   Anthropic's page "Streaming messages", section "Error events"; Claude Code's page on environment variables.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @anthropic-ai/claude-code@2.1.197

cat > finding.mjs <<'NODE'
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import http from "node:http";

const usage = { input_tokens: 9, output_tokens: 9 };
const message = { id: "m", type: "message", role: "assistant", model: "m", stop_sequence: null, usage };
const whole = { ...message, content: [{ type: "text", text: "the second answer" }], stop_reason: "end_turn" };
const events = [
  { type: "message_start", message: { ...message, content: [], stop_reason: null } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "the first" } },
  { type: "error", error: { type: "api_error", message: "The provider is gone." } },
];

let requests = [];
const server = http.createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  if (request.method !== "POST") return response.writeHead(404).end();
  const stream = JSON.parse(body).stream === true;
  requests.push(stream ? "stream" : "whole");
  response.writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json" });
  if (!stream) return response.end(JSON.stringify(whole));
  response.end(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

async function ask(variables) {
  requests = [];
  const home = mkdtempSync("home-");
  const env = {
    PATH: process.env.PATH,
    HOME: `${process.cwd()}/${home}`,
    ANTHROPIC_BASE_URL: `http://127.0.0.1:${server.address().port}`,
    ANTHROPIC_AUTH_TOKEN: "unused",
    ANTHROPIC_MODEL: "m",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    ...variables,
  };
  const launcher = "node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs";
  const claude = spawn("node", [launcher, "-p", "hello"], { env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  for await (const part of claude.stdout) output += part;
  const code = claude.exitCode ?? (await new Promise((exited) => claude.on("exit", exited)));
  return `${requests.join(" and ")}: "${output.trim()}", exit code ${code}`;
}

const cases = [
  ["by default", {}, 'stream and whole: "the second answer", exit code 0'],
  [
    "without the fallback",
    { CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK: "1" },
    'stream: "API Error: The provider is gone.", exit code 1',
  ],
];
console.log("versions: @anthropic-ai/claude-code 2.1.197");
let unchanged = true;
for (const [name, variables, stated] of cases) {
  const seen = await ask(variables);
  console.log(`${name}\n  expected: one request and the message of the error\n  seen:     ${seen}`);
  unchanged = unchanged && seen === stated;
}
server.close();
server.closeAllConnections();
console.log(unchanged ? "The finding holds." : "The behaviour changed.");
process.exitCode = unchanged ? 0 : 1;
NODE
timeout 240 node finding.mjs
