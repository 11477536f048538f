// Runs the OpenAI SDK for Node.
import OpenAI from "openai";
import { serve, WEATHER } from "./jobs.mjs";

const { name, description, schema: parameters } = WEATHER;
const TOOLS = [{ type: "function", function: { name, description, parameters } }];

async function run({ base_url, token, headers, model, prompt, stream, tools }, result) {
  const client = new OpenAI({ baseURL: base_url, apiKey: token, defaultHeaders: headers });
  const body = { model, messages: [{ role: "user", content: prompt }], ...(tools && { tools: TOOLS }) };
  const { message } = (stream ? await streamed(client, body, result) : await client.chat.completions.create(body)).choices[0];
  result.text = message.content ?? "";
  result.calls = (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
}

function streamed(client, body, result) {
  const runner = client.chat.completions.stream(body);
  runner.on("content", (delta) => (result.text += delta));
  return runner.finalChatCompletion();
}

await serve(run, (error) => ({ type: error.constructor.name, status: error.status ?? null, message: error.message }));
