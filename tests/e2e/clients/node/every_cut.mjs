// Reads relayed streams with the OpenAI SDK for Node: one JSON job a line, one JSON outcome a line.
// The reads and their outcomes are those of tests/sdk_outcomes.py.
import { createInterface } from "node:readline";
import OpenAI from "openai";

const TRUNCATED = "stream_truncated";

async function text(client) {
  let text = "";
  for await (const chunk of await client.chat.completions.create(chat())) text += chunk.choices[0].delta.content ?? "";
  return text;
}

async function toolCalls(client) {
  const calls = [];
  for await (const chunk of await client.chat.completions.create(chat())) {
    for (const call of chunk.choices[0].delta.tool_calls ?? []) {
      const known = (calls[call.index] ??= [call.id ?? "", ""]);
      known[1] += call.function.arguments ?? "";
    }
  }
  return JSON.stringify(calls);
}

async function response(client) {
  let text = "";
  for await (const event of await client.responses.create(responsesRequest())) {
    if (event.type === "response.failed") return failure(event);
    if (event.type === "response.completed") return text;
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return `an end without an event after ${JSON.stringify(text)}`;
}

async function responseCalls(client) {
  for await (const event of await client.responses.create(responsesRequest())) {
    if (event.type === "response.failed") return failure(event);
    if (event.type === "response.completed") {
      const calls = event.response.output.filter((item) => item.type === "function_call");
      return JSON.stringify(calls.map((call) => [call.call_id, call.arguments]));
    }
  }
  return "an end without an event";
}

function failure(event) {
  return event.response.error.message.includes("before it was complete") ? TRUNCATED : "another error";
}

function responsesRequest() {
  return { model: "any", input: "a", stream: true };
}

function chat() {
  return { model: "any", messages: [{ role: "user", content: "a" }], stream: true };
}

const READS = { text, tool_calls: toolCalls, response, response_calls: responseCalls };

for await (const line of createInterface({ input: process.stdin })) {
  const { read, body } = JSON.parse(line);
  const fetch = async () =>
    new Response(Buffer.from(body, "base64"), { headers: { "content-type": "text/event-stream" } });
  const client = new OpenAI({ baseURL: "http://gateway/v1", apiKey: "token", maxRetries: 0, fetch });
  console.log(JSON.stringify(await READS[read](client).catch((error) => error.code ?? error.message)));
}
