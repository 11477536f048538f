"""Runs LangChain's ChatOpenAI with OpenAI's Responses."""

from typing import Any

from jobs import OPENAI_TOOLS, Json, serve
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI


def run(job: Json, result: Json) -> None:
    model = ChatOpenAI(
        model=job["model"],
        base_url=job["base_url"],
        api_key=job["token"],
        default_headers=job["headers"],
        use_responses_api=True,
        max_retries=0,
    )
    messages: list[Any] = [HumanMessage(job["prompt"])]
    answer = ask(model, job, messages, result)
    result["calls"] = [[call["name"], call["args"]] for call in answer.tool_calls]
    if answer.tool_calls:
        outputs = [
            ToolMessage(f"sunny in {call['args']['city']}", tool_call_id=call["id"]) for call in answer.tool_calls
        ]
        answer = ask(model, job, [*messages, answer, *outputs], result)
    result["text"] = answer.text


def ask(model: ChatOpenAI, job: Json, messages: list[Any], result: Json) -> Any:
    runnable = model.bind_tools(OPENAI_TOOLS) if job["tools"] else model
    if not job["stream"]:
        return runnable.invoke(messages)
    answer = None
    for chunk in runnable.stream(messages):
        result["text"] += chunk.text
        answer = chunk if answer is None else answer + chunk
    return answer


serve(run)
