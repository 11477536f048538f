"""Renders commands and their output as an animated SVG of a terminal, with a transcript as its text alternative.

The animation is CSS: no script, no external font. A viewer without CSS animations, or with reduced motion, shows the
final state.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

COLUMNS = 112
# Longer output lines end with an ellipsis.
MAX_OUTPUT_ROWS = 2
CHARACTER_WIDTH = 8.4
ROW_HEIGHT = 20
MARGIN = 20
TITLE_HEIGHT = 36
TYPING_S = 1.0
# Longer pauses in the recording are shortened to this.
MAX_PAUSE_S = 1.5

# A command and its output: each line with the seconds since the start of the command.
type Command = tuple[str, Sequence[tuple[float, str]]]
# The name of a terminal and its commands.
type Scene = tuple[str, Sequence[Command]]

STYLE = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d7dde5;
  white-space: pre }
.title { fill: #8b98a9 }
.command { fill: #7ee2a8 }
.row { animation: appear 0.01s backwards }
@keyframes appear { from { opacity: 0 } }
@media (prefers-reduced-motion: reduce) { .row { animation: none } }
"""


@dataclass(frozen=True)
class Row:
    """One row of the terminal, visible from `at_s` on."""

    kind: str
    text: str
    at_s: float


def render(scenes: Sequence[Scene]) -> str:
    """Returns the SVG document."""
    rows = list(_rows(scenes))
    width = round(COLUMNS * CHARACTER_WIDTH + 2 * MARGIN)
    height = TITLE_HEIGHT + len(rows) * ROW_HEIGHT + MARGIN
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title transcript">',
            '<title id="title">The quick start in a terminal</title>',
            f'<desc id="transcript">{escape(_transcript(scenes))}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="#161b22" stroke="#57606a"/>',
            *(f'<circle cx="{MARGIN + 16 * i}" cy="18" r="5" fill="#57606a"/>' for i in range(3)),
            *(_text(row, TITLE_HEIGHT + (number + 1) * ROW_HEIGHT) for number, row in enumerate(rows)),
            "</svg>\n",
        ]
    )


def _text(row: Row, y: int) -> str:
    attributes = f'class="row {row.kind}" style="animation-delay:{row.at_s:.2f}s" x="{MARGIN}" y="{y}"'
    # Some viewers ignore `white-space: pre`, others the older xml:space.
    return f'<text xml:space="preserve" {attributes}>{escape(row.text)}</text>'


def _rows(scenes: Sequence[Scene]) -> Iterator[Row]:
    now = 0.0
    for number, (name, commands) in enumerate(scenes):
        if number:
            yield Row("output", "", now)
        yield Row("title", f"── {name} ──", now)
        for command, output in commands:
            yield from (Row("command", text, now) for text in _wrapped(f"$ {command}"))
            now += TYPING_S
            previous_s = 0.0
            for at_s, line in output:
                now += min(at_s - previous_s, MAX_PAUSE_S)
                previous_s = at_s
                yield from (Row("output", text, now) for text in _shortened(line))
            now += TYPING_S


def _wrapped(text: str) -> list[str]:
    """Breaks lines after COLUMNS characters, as a terminal does."""
    return [line[start : start + COLUMNS] for line in text.splitlines() for start in range(0, len(line) or 1, COLUMNS)]


def _shortened(line: str) -> list[str]:
    rows = _wrapped(line)
    if len(rows) <= MAX_OUTPUT_ROWS:
        return rows
    return [*rows[: MAX_OUTPUT_ROWS - 1], rows[MAX_OUTPUT_ROWS - 1][:-1] + "…"]


def _transcript(scenes: Sequence[Scene]) -> str:
    lines = []
    for name, commands in scenes:
        lines.append(f"{name}:")
        for command, output in commands:
            lines += [f"$ {command}", *(line for _, line in output)]
    return "\n".join(lines)
