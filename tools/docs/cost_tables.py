"""The tables of docs/cost.md and the price in README.md, from the bill in `cost`."""

from tools.docs.cost import (
    HEADLINE_REQUESTS,
    HEARTBEAT_AND_AUTHORIZER,
    LOADS,
    MINUTES_PER_MONTH,
    PROVIDERS,
    STREAM_S,
    declared,
    free_dollars,
    free_quantities,
    free_tier,
    idle_bill,
    largest,
    parts,
    prices,
    total,
)

# Two Fargate tasks and a load balancer for a month: docs/design.md has the calculation and its sources.
CONTAINERS = 58


def headline() -> str:
    """One sentence for the README: an idle month, and one with 100,000 streams of 10 s, before and after free tier."""
    bill = parts(prices())
    idle, busy = total(bill, 0), total(bill, HEADLINE_REQUESTS)
    idle_net, busy_net = idle - free_tier(0), busy - free_tier(HEADLINE_REQUESTS)
    return (
        f"An idle month costs about ${idle:.2f}, and a month with {HEADLINE_REQUESTS:,} streamed requests of "
        f"{STREAM_S:.0f} seconds about ${busy:.2f}.\nIn an account that uses AWS's always-free tier for nothing else, "
        f"they cost ${idle_net:.2f} and ${busy_net:.2f}."
    )


def alternatives() -> str:
    """Two sentences for docs/design.md: a million streams and their largest parts, and when containers are cheaper."""
    bill = parts(prices())
    million = {part.name: part.per_request * 1_000_000 for part in bill}
    functions, gateway = million["requests: Lambda while they stream"], million["requests: API Gateway"]
    streams = round(CONTAINERS / (functions + gateway) * 1_000_000, -3)
    return (
        f"A month with a million streams costs ${total(bill, 1_000_000):.2f}, of which Lambda takes ${functions:.2f} "
        f"and API Gateway ${gateway:.2f}.\nContainers for ${CONTAINERS} a month cost as much as these two parts at "
        f"{streams:,.0f} streams."
    )


def cost_table() -> str:
    """Dollars a month by part and load."""
    express, standard = parts(prices()), parts(prices(), express=False)
    loads = LOADS.values()
    rows = [f"| Dollars a month, with this many requests | {' | '.join(LOADS)} |", "|---|" + "---:|" * len(LOADS)]
    rows += [_row(part.name, [part.at(requests) for requests in loads]) for part in express]
    rows += [
        _row("**total**", [total(express, requests) for requests in loads]),
        _row("total after the always-free tier", [total(express, n) - free_tier(n) for n in loads]),
        _row("total with a Standard workflow", [total(standard, requests) for requests in loads]),
        _row("price of 1,000 requests", [None, *(total(express, n) / n * 1000 for n in loads if n)]),
    ]
    return "\n".join(rows)


def largest_table() -> str:
    """The number of requests a month from which each part is the largest."""
    rows = ["| From this many requests a month | the largest part is |", "|---:|---|"]
    return "\n".join(rows + [f"| {requests:,.0f} | {part.name} |" for requests, part in largest(parts(prices()))])


def provider_table() -> str:
    """Dollars a month of an idle gateway by the number of its providers: the parts that grow, and the sum."""
    bills = [idle_bill(prices(), providers) for providers in PROVIDERS]
    counts = " | ".join(f"{count:,}" for count in PROVIDERS)
    rows = [f"| Dollars a month, idle, with this many providers | {counts} |", "|---|" + "---:|" * len(PROVIDERS)]
    rows += [
        # An idle gateway does not run the authorizer.
        _row("heartbeat: Lambda" if name == HEARTBEAT_AND_AUTHORIZER else name, [bill[name] for bill in bills])
        for name in bills[0]
        if bills[-1][name] > bills[0][name]
    ]
    return "\n".join([*rows, _row("**total**, including the other parts", [sum(bill.values()) for bill in bills])])


def stream_table() -> str:
    """Lambda's part of 1 million requests, by the length of a stream and by the memory."""
    gb_s = prices()["lambda.gb_second_arm64"]
    rows = [
        "| Lambda for 1 million streams a month, each of | 512 MB | 1,024 MB | average number of concurrent streams |",
        "|---|---:|---:|---:|",
    ]
    for seconds in (5, 10, 60, 295):
        cost = 1e6 * seconds * gb_s
        concurrent = 1e6 * seconds / (MINUTES_PER_MONTH * 60)
        rows.append(f"| {seconds} s | {cost / 2:,.0f} | {cost:,.0f} | {concurrent:,.1f} |")
    return "\n".join(rows)


def price_table() -> str:
    """Every unit price with its source."""
    rows = ["| Price | Dollars | Source |", "|---|---:|---|"]
    for name, price in declared().items():
        usd = f"{price['usd']:.10f}".rstrip("0").rstrip(".")
        rows.append(f"| {_label(name)} | {usd} | {price['source']} |")
    return "\n".join(rows)


def free_table() -> str:
    """Every free quantity that the gateway uses, the dollars that it saves, and its source."""
    all_prices, idle, busy = declared(), free_dollars(0), free_dollars(HEADLINE_REQUESTS)
    busy_month = f"with {HEADLINE_REQUESTS:,} requests"
    rows = [
        f"| Always free | Quantity a month | Dollars saved in an idle month | {busy_month} | Source |",
        "|---|---:|---:|---:|---|",
    ]
    rows += [
        f"| {_label(name)} | {free:,} | {idle[name]:.2f} | {busy[name]:.2f} | {all_prices[name]['free_source']} |"
        for name, free in free_quantities().items()
        if busy[name]
    ]
    sums = f"| **total** | | {free_tier(0):.2f} | {free_tier(HEADLINE_REQUESTS):.2f} | |"
    return "\n".join([*rows, sums])


def _label(name: str) -> str:
    return name.replace(".", ": ").replace("_", " ")


def _row(name: str, values: list[float | None]) -> str:
    return f"| {name} | {' | '.join('' if value is None else f'{value:,.2f}' for value in values)} |"
