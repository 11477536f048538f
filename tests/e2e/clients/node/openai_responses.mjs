// Runs OpenAI's Responses with the OpenAI SDK for Node. `auth` "parse" requests structured output.
import OpenAI from "openai";
import { serve, WEATHER } from "./jobs.mjs";

const { name, description, schema: parameters } = WEATHER;
const TOOLS = [{ type: "function", name, description, parameters, strict: false }];
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };

async function run({ base_url, token, headers, auth, model, prompt, stream, tools }, result) {
  const client = new OpenAI({ baseURL: base_url, apiKey: token, defaultHeaders: headers });
  const input = [{ role: "user", content: prompt }];
  if (auth === "parse") {
    const format = { type: "json_schema", name: "city", schema: CITY, strict: true };
    result.text = (await client.responses.parse({ model, input, text: { format } })).output_parsed.city;
    return;
  }
  const ask = (items) => {
    const body = { model, input: items, ...(tools && { tools: TOOLS }) };
    return stream ? streamed(client, body, result) : client.responses.create(body);
  };
  let response = await ask(input);
  const calls = response.output.filter((item) => item.type === "function_call");
  result.calls = calls.map((call) => [call.name, JSON.parse(call.arguments)]);
  if (calls.length) response = await ask([...input, ...response.output, ...calls.map(output)]);
  result.text = response.output_text;
}

async function streamed(client, body, result) {
  const runner = client.responses.stream(body);
  runner.on("response.output_text.delta", ({ delta }) => (result.text += delta));
  runner.on("response.failed", ({ response }) => (result.failed = response.error.message));
  const response = await runner.finalResponse();
  if (result.failed) throw new Error(result.failed);
  return response;
}

function output({ call_id, arguments: text }) {
  return { type: "function_call_output", call_id, output: `sunny in ${JSON.parse(text).city}` };
}

await serve(run, (error) => ({ type: error.constructor.name, status: error.status ?? null, message: error.message }));
