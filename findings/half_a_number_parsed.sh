#!/usr/bin/env bash
# LangChain's final parse takes half a number from an answer that was cut short: 1250 becomes 12.
#
# Versions: langchain-core 1.8.3, pydantic 2.14.4 (PyPI).
# Expected: `JsonOutputParser` and `PydanticOutputParser` read incomplete JSON only while they stream. The final parse
#           (`invoke`, `partial=False`) raises an OutputParserException for JSON without its end, as `json.loads` does.
# Seen:     the final parse completes the JSON by itself. From `{"amount": 12`, the first 13 characters of
#           `{"amount": 1250}`, it returns the amount 12, and pydantic validates it. The finish reason "length", which
#           the message carries, is not read. A cut list loses its last items silently too.
# Matters:  openai-python reports no error when a stream ends cleanly without its end mark. Behind it this parser turns
#           a lost connection, or a token limit, into a valid order with a wrong amount. A gateway has to end a broken
#           answer with an error frame; it must not count on the JSON to be rejected.
# Source:   langchain-core reference of `JsonOutputParser.parse_result`: without `partial` it returns the full object.
#           Code: `parse_json_markdown` in `langchain_core/utils/json.py`, whose parser is
#           `parse_partial_json` unless another one is passed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q langchain-core==1.8.3 pydantic==2.14.4

cat > finding.py <<'PYTHON'
import json
import sys
from importlib.metadata import version

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from pydantic import BaseModel


class Order(BaseModel):
    amount: int


def parse(parser, text):
    """Parse a whole answer of a model whose token limit ended it."""
    try:
        return repr(parser.invoke(AIMessage(text, response_metadata={"finish_reason": "length"})))
    except OutputParserException:
        return "OutputParserException"


CUT_ORDER = json.dumps({"amount": 1250})[:13]
CUT_LIST = json.dumps({"stop": ["alpha", "beta", "gamma"]})[:23]
CASES = [
    (JsonOutputParser(), CUT_ORDER, "{'amount': 12}"),
    (PydanticOutputParser(pydantic_object=Order), CUT_ORDER, "Order(amount=12)"),
    (JsonOutputParser(), CUT_LIST, "{'stop': ['alpha', 'bet']}"),
]

print(f"versions: langchain-core {version('langchain-core')}, pydantic {version('pydantic')}")
unchanged = True
for parser, text, stated in CASES:
    seen = parse(parser, text)
    print(f"{type(parser).__name__}: {text}\n  expected: OutputParserException\n  seen:     {seen}")
    unchanged = unchanged and seen == stated
print("The finding holds." if unchanged else "The behaviour changed.")
sys.exit(0 if unchanged else 1)
PYTHON
venv/bin/python finding.py
