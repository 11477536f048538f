"""The monthly price of one provider's roll-ups. tests/unit/gateway/heartbeat/test_rollup_costs.py counts the units."""

from collections.abc import Mapping

# One each half hour.
ROLL_UPS = 2 * 730
WRITES_PER_ROLL_UP = 7
READS_PER_ROLL_UP = 12


def dollars(usd: Mapping[str, float]) -> float:
    """Returns the dollars a month of one provider, with prices by `service.unit`."""
    return ROLL_UPS * (WRITES_PER_ROLL_UP * usd["dynamodb.write"] + READS_PER_ROLL_UP * usd["dynamodb.read"])
