// Runs the default model of `@ai-sdk/openai` for two turns. `auth` "stored" leaves out `store: false`.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { serve, WEATHER } from "./jobs.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

async function run({ base_url: baseURL, token, headers, auth, model, prompt, stream, tools }, result) {
  const openai = createOpenAI({ baseURL, apiKey: token, headers });
  const { name, description, schema } = WEATHER;
  const execute = (input) => {
    result.calls.push([name, input]);
    return `sunny in ${input.city}`;
  };
  const request = {
    model: openai(model),
    maxRetries: 0,
    ...(auth !== "stored" && { providerOptions: { openai: { store: false } } }),
    ...(tools && { tools: { [name]: tool({ description, inputSchema: jsonSchema(schema), execute }) } }),
    stopWhen: stepCountIs(3),
  };
  const ask = (messages) => (stream ? streamed({ ...request, messages }, result) : generateText({ ...request, messages }));
  const messages = [{ role: "user", content: prompt }];
  const answer = await ask(messages);
  if (result.error || tools) return void (result.text = result.error ? result.text : await answer.text);
  const second = await ask([...messages, ...(await answer.response).messages, ...messages]);
  if (!result.error) result.text = await second.text;
}

async function streamed(request, result) {
  result.text = "";
  const answer = streamText({ ...request, onError: ({ error }) => (result.error = describe(error)) });
  for await (const delta of answer.textStream) result.text += delta;
  return answer;
}

function describe(error) {
  return { type: error.name ?? null, status: error.statusCode ?? null, message: error.message ?? JSON.stringify(error) };
}

await serve(run, describe);
