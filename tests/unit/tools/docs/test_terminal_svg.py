import re
from xml.etree import ElementTree as ET

from tools.docs import terminal_svg

SVG = "{http://www.w3.org/2000/svg}"


def rows(document: str) -> list[tuple[str, float]]:
    """Returns the text and the time in seconds of each row."""
    texts = ET.fromstring(document).iter(f"{SVG}text")  # noqa: S314
    return [(text.text or "", float(re.findall(r"delay:([\d.]+)s", text.attrib["style"])[0])) for text in texts]


def test_shows_output_at_its_recorded_time_after_the_command() -> None:
    shown = rows(terminal_svg.render([("T", [("make", [(0.5, "first"), (0.75, "second")])])]))

    assert shown[1:] == [("$ make", 0.0), ("first", 1.5), ("second", 1.75)]


def test_shortens_long_pauses() -> None:
    shown = rows(terminal_svg.render([("T", [("make", [(60.0, "first"), (60.1, "second")])])]))

    assert [at_s for _, at_s in shown[2:]] == [2.5, 2.6]


def test_wraps_commands_and_cuts_long_output() -> None:
    long = "x" * 5 * terminal_svg.COLUMNS
    shown = [text for text, _ in rows(terminal_svg.render([("T", [(long, [(0.0, long)])])]))]
    command, output = shown[1:7], shown[7:]

    assert "".join(command) == f"$ {long}"
    assert len(output) == terminal_svg.MAX_OUTPUT_ROWS
    assert output[-1].endswith("…")
    assert all(len(text) <= terminal_svg.COLUMNS for text in shown)


def test_escapes_markup_and_describes_the_whole_output() -> None:
    long = "<&>" * terminal_svg.COLUMNS
    document = terminal_svg.render([("T", [("cat", [(0.0, long)])])])

    assert ET.fromstring(document).findtext(f"{SVG}desc") == f"T:\n$ cat\n{long}"  # noqa: S314
