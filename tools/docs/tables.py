"""Writes the generated tables between their markers in README.md and docs/. `make docs` runs it."""

import re
from collections.abc import Callable
from pathlib import Path

from tools.docs import cost, cost_tables, parameters, stranger

ROOT = Path(__file__).parents[2]
README_LOADS = {"Idle": 0, "100,000 streamed requests": 100_000}


def price_rows() -> str:
    """The monthly price of an idle gateway and of a small load, in US dollars."""
    bill = cost.parts(cost.prices())
    totals = (f"{sum(part.at(requests) for part in bill):,.2f}" for requests in README_LOADS.values())
    return f"| {' | '.join(README_LOADS)} |\n|---:|---:|\n| {' | '.join(totals)} |"


TABLES: dict[str, Callable[[], str]] = {
    "price": price_rows,
    "parameters": parameters.table,
    "cost": cost_tables.cost_table,
    "free": cost_tables.free_table,
    "largest": cost_tables.largest_table,
    "streams": cost_tables.stream_table,
    "providers": cost_tables.provider_table,
    "alternatives": cost_tables.alternatives,
    "stranger": stranger.stranger_table,
    "prices": cost_tables.price_table,
}
PAGES = ("README.md", "docs/cost.md", "docs/design.md", "docs/parameters.md")
BLOCK = re.compile(r"<!-- (\w+): `make docs` writes this -->\n(.*?)<!-- end -->", re.DOTALL)


def filled(text: str) -> str:
    """Returns the page with every table generated anew."""
    return BLOCK.sub(lambda m: f"<!-- {m[1]}: `make docs` writes this -->\n{TABLES[m[1]]()}\n<!-- end -->", text)


def main() -> None:
    """Rewrites the pages in place."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
