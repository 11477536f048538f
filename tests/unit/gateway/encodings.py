"""Encodings in which a provider may repeat a key."""

import json
from urllib.parse import quote


def by_go(key: str) -> str:
    """As encoding/json of Go writes it, which TokenHub is written in."""
    escaped = json.dumps(key)[1:-1]
    return escaped.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def in_a_url(key: str) -> str:
    return quote(key, safe="")
