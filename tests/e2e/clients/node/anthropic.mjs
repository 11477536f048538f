// Runs the Anthropic SDK for Node. `auth` is the name of the option that takes the token.
import Anthropic from "@anthropic-ai/sdk";
import { serve, WEATHER } from "./jobs.mjs";

const { name, description, schema: input_schema } = WEATHER;
const TOOLS = [{ name, description, input_schema }];

async function run({ base_url, auth, token, headers, model, prompt, stream, tools }, result) {
  const client = new Anthropic({ baseURL: base_url, [auth]: token, defaultHeaders: headers });
  const messages = [{ role: "user", content: prompt }];
  const body = { model, max_tokens: 500, messages, ...(tools && { tools: TOOLS }) };
  const message = await (stream ? streamed(client, body, result) : client.messages.create(body));
  const blocks = (type) => message.content.filter((block) => block.type === type);
  result.text = blocks("text").map((block) => block.text).join("");
  result.calls = blocks("tool_use").map((block) => [block.name, block.input]);
}

function streamed(client, body, result) {
  const runner = client.messages.stream(body);
  runner.on("text", (delta) => (result.text += delta));
  return runner.finalMessage();
}

await serve(run, (error) => ({ type: error.constructor.name, status: error.status ?? null, message: error.message }));
