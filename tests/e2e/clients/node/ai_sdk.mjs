// Runs the AI SDK. `auth` is the name of the option that takes the token; "compatible" selects openai-compatible.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";
import { serve, WEATHER } from "./jobs.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const { name, description, schema } = WEATHER;
const TOOLS = { [name]: tool({ description, inputSchema: jsonSchema(schema) }) };

function provider({ base_url: baseURL, auth, token, headers }) {
  if (auth === "compatible") return createOpenAICompatible({ name: "tokenhub", baseURL, apiKey: token, headers });
  return createAnthropic({ baseURL, [auth]: token, headers });
}

async function run({ model, prompt, stream, tools, ...settings }, result) {
  const request = { model: provider(settings)(model), prompt, ...(tools && { tools: TOOLS }) };
  const answer = stream ? await streamed(request, result) : await generateText(request);
  if (result.error) return;
  result.text = await answer.text;
  result.calls = (await answer.toolCalls).map((call) => [call.toolName, call.input]);
}

// The loop over `textStream` ends without an exception. `onError` gets the error.
async function streamed(request, result) {
  const answer = streamText({ ...request, onError: ({ error }) => (result.error = describe(error)) });
  for await (const delta of answer.textStream) result.text += delta;
  // Without any output the promise is rejected with a general error.
  result.finish = await answer.finishReason.catch((error) => error.name);
  return answer;
}

function describe(error) {
  return { type: error.name ?? null, status: error.statusCode ?? null, message: error.message };
}

await serve(run, describe);
