#!/usr/bin/env bash
# A fresh installation of an LLM gateway answers every streamed completion with 500, because of a dependency's patch.
#
# Versions: @portkey-ai/gateway 1.15.2 with @hono/node-server 1.14.1, 1.14.2 and 1.19.19 (npm), Node 20.
# Expected: the gateway relays the stream with every version that its package.json allows (^1.3.3). npm installs the
#           newest 1.x, 1.19.19, in a new folder.
# Seen:     with 1.14.1 it relays the stream. Since 1.14.2 each streamed completion is a 500 without a cause, and whole
#           completions work. The gateway changes the headers of the response that it returns. The newer adapter makes
#           the headers of such a response immutable, so that the change raises a TypeError.
# Matters:  The failure depends on the day of the installation and not on the gateway's version. A health check that
#           asks for a whole completion is green. Only a streamed one shows it.
# Source:   Portkey-AI/gateway issue 1389, which names 1.14.2. The TypeError comes from the gateway's `updateHeaders`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for adapter in 1.14.1 1.14.2 1.19.19; do
  mkdir "$adapter"
  printf '{"dependencies": {"@portkey-ai/gateway": "1.15.2"}, "overrides": {"@hono/node-server": "%s"}}\n' "$adapter" \
    > "$adapter/package.json"
  (cd "$adapter" && npm install --silent --ignore-scripts --no-audit --no-fund)
done

# The gateway listens on all addresses. This module makes it listen on loopback.
cat > loopback.mjs <<'NODE'
import { Server } from "node:net";

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, _host, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest);
};
NODE

cat > finding.mjs <<'NODE'
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";

const FAILING = { whole: "200 ok", streamed: "500" };
const STATED = { "1.14.1": { whole: "200 ok", streamed: "200 ok" }, "1.14.2": FAILING, "1.19.19": FAILING };
const whole = {
  id: "c", object: "chat.completion", created: 1, model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "ok" }, finish_reason: "stop" }],
};
const chunk = (delta, finish_reason) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m",
    choices: [{ index: 0, delta, finish_reason }] })}\n\n`;

const provider = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  const stream = JSON.parse(body).stream === true;
  response.writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json" });
  response.end(stream ? chunk({ content: "ok" }, null) + chunk({}, "stop") + "data: [DONE]\n\n" : JSON.stringify(whole));
});

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function ask(port, stream) {
  const headers = {
    "content-type": "application/json", authorization: "Bearer unused", "x-portkey-provider": "openai",
    "x-portkey-custom-host": `http://127.0.0.1:${provider.address().port}/v1`,
  };
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "a" }], stream });
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", headers, body });
  const text = await response.text();
  return response.ok ? `${response.status} ${text.includes('"content":"ok"') ? "ok" : "?"}` : `${response.status}`;
}

async function see(adapter) {
  const port = await freePort();
  const program = `${adapter}/node_modules/@portkey-ai/gateway/build/start-server.js`;
  const gateway = spawn("node", ["--import", "./loopback.mjs", program, `--port=${port}`, "--headless"], {
    env: { ...process.env, NODE_ENV: "production" }, stdio: "ignore",
  });
  try {
    for (let tries = 0; tries < 100; tries++) {
      if (await fetch(`http://127.0.0.1:${port}/`).catch(() => null)) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return { whole: await ask(port, false), streamed: await ask(port, true) };
  } finally {
    gateway.kill();
  }
}

provider.listen(0, "127.0.0.1");
await once(provider, "listening");
let unchanged = true;
console.log(`versions: @portkey-ai/gateway 1.15.2, Node ${process.version}`);
for (const [adapter, stated] of Object.entries(STATED)) {
  const seen = await see(adapter);
  console.log(`@hono/node-server ${adapter}\n  expected: whole 200 ok, streamed 200 ok`);
  console.log(`  seen:     whole ${seen.whole}, streamed ${seen.streamed}`);
  unchanged &&= seen.whole === stated.whole && seen.streamed === stated.streamed;
}
provider.close();
console.log(unchanged ? "The finding holds." : "The behaviour changed.");
process.exit(unchanged ? 0 : 1);
NODE
timeout 120 node finding.mjs
