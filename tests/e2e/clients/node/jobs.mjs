// Reads one JSON job a line from stdin and prints one JSON result a line.
import { createInterface } from "node:readline";

/** Calls `run(job, result)` for each job. `run` fills `text` and `calls`; an exception becomes `error`. */
export async function serve(run, describe) {
  for await (const line of createInterface({ input: process.stdin })) {
    const result = { text: "", calls: [], error: null };
    try {
      await run(JSON.parse(line), result);
    } catch (error) {
      result.error = describe(error);
    }
    console.log(JSON.stringify(result));
  }
}

export const WEATHER = {
  name: "get_weather",
  description: "Returns the weather of a city.",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
