"""`make docs`: writes the tables that are computed into README.md and docs/, between their markers."""

import re
from collections.abc import Callable
from pathlib import Path

from tools.docs import cost, parameters

ROOT = Path(__file__).parents[2]
TABLES: dict[str, Callable[[], str]] = {
    "parameters": parameters.table,
    "cost": cost.cost_table,
    "free": cost.free_table,
    "largest": cost.largest_table,
    "streams": cost.stream_table,
    "providers": cost.provider_table,
    "prices": cost.price_table,
}
PAGES = ("README.md", "docs/cost.md")
BLOCK = re.compile(r"<!-- (\w+): `make docs` writes this -->\n(.*?)<!-- end -->", re.DOTALL)


def filled(text: str) -> str:
    """The page with its tables as they are now."""
    return BLOCK.sub(lambda m: f"<!-- {m[1]}: `make docs` writes this -->\n{TABLES[m[1]]()}\n<!-- end -->", text)


def main() -> None:
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
