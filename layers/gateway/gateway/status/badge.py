"""Badges of a provider: an SVG picture, and the JSON of shields.io's endpoint badge. Pure functions."""

from dataclasses import dataclass
from html import escape
from typing import Any, get_args

from gateway.core.errors import InvalidRequest
from gateway.heartbeat.summaries import Period, ProviderHistory
from gateway.status.views import State

MEASURES = ("status", *(f"uptime_{span}" for span in get_args(Period)), "response_time")
# The name in shields.io's format, and the colour of the SVG. White text on each has a contrast of at least 4.5.
COLOURS = {"brightgreen": "#0e7c59", "red": "#b3261e", "orange": "#9a5b00", "lightgrey": "#5b6472"}
STATE_COLOURS: dict[State, str] = {"healthy": "brightgreen", "failed": "red", "stale": "orange", "pending": "lightgrey"}
GOOD_UPTIME, FAIR_UPTIME = 0.999, 0.99
# The mean width of a character of an 11 px sans-serif font. textLength stretches the text to the computed width.
CHARACTER_PX = 6.4
MAX_LABEL_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Badge:
    label: str
    message: str
    colour: str


def parse_measure(text: str | None) -> str:
    """Returns what a badge shows, the status by default. Raises InvalidRequest."""
    if text is None:
        return MEASURES[0]
    if text not in MEASURES:
        raise InvalidRequest(f"of is not valid. Send one of {', '.join(MEASURES)}.", param="of")
    return text


def make_badge(name: str, state: State, history: ProviderHistory, measure: str) -> Badge:
    """Returns the badge of a provider. An unknown value is shown as `unknown`."""
    label = name[:MAX_LABEL_CHARACTERS]
    if measure == "status":
        return Badge(label, "out of date" if state == "stale" else state, STATE_COLOURS[state])
    if measure == "response_time":
        median = history.uptime["24h"].p50_ms
        message = "unknown" if median is None else f"{round(median)} ms"
        return Badge(f"{label} response time", message, "lightgrey" if median is None else "brightgreen")
    span: Any = measure.removeprefix("uptime_")
    share = history.uptime[span].share
    return Badge(f"{label} uptime {span}", format_share(share), _uptime_colour(share))


def format_share(share: float | None) -> str:
    """Returns a share as a percentage, rounded down: only a share of 1 is 100%."""
    if share is None:
        return "unknown"
    # 0.57 * 10,000 is 5,699.999999999999 in binary.
    hundredths = int(round(share * 10_000, 6))
    return "100%" if hundredths == 10_000 else f"{hundredths / 100:.2f}%"


def shields(badge: Badge) -> dict[str, Any]:
    """Returns the badge in the form that https://shields.io/badges/endpoint-badge documents."""
    return {"schemaVersion": 1, "label": badge.label, "message": badge.message, "color": badge.colour}


def svg(badge: Badge) -> str:
    """Returns the badge as an SVG picture without scripts, styles and links."""
    left, right = (round(len(text) * CHARACTER_PX + 12) for text in (badge.label, badge.message))
    label, message = escape(badge.label), escape(badge.message)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {message}"><title>{label}: {message}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#3b424d"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{COLOURS[badge.colour]}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f"{_text(label, left / 2, left - 12)}{_text(message, left + right / 2, right - 12)}</g></svg>"
    )


def _text(text: str, middle: float, width: int) -> str:
    return f'<text x="{middle:g}" y="14" textLength="{width}" lengthAdjust="spacingAndGlyphs">{text}</text>'


def _uptime_colour(share: float | None) -> str:
    if share is None:
        return "lightgrey"
    if share >= GOOD_UPTIME:
        return "brightgreen"
    return "orange" if share >= FAIR_UPTIME else "red"
