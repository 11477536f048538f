"""The pictures of README.md: small screenshots, and self-contained SVG files. Each has a text alternative."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.template import ROOT
from tools.docs import recording

README = (ROOT / "README.md").read_text()
PICTURES = sorted((ROOT / "docs/images").iterdir())
IMAGES = [picture for picture in PICTURES if picture.suffix == ".svg"]
SCREENSHOTS = [picture for picture in PICTURES if picture.suffix == ".png"]
MAX_SCREENSHOT_BYTES = 120 * 1024
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: image.name)
def test_image_is_on_the_readme(image: Path) -> None:
    assert f"docs/images/{image.name}" in README


def test_every_image_of_the_readme_exists_and_has_a_text_alternative() -> None:
    markdown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)
    tags = re.findall(r'<img src="([^"]+)" alt="([^"]*)">', README)
    sources = re.findall(r'srcset="([^"]+)"', README)

    assert all(alternative for alternative, _ in markdown)
    assert all(alternative for _, alternative in tags)
    paths = {path for _, path in markdown} | {path for path, _ in tags} | set(sources)
    assert paths == {f"docs/images/{image.name}" for image in PICTURES}
    assert len(tags) == README.count("<img")


def test_every_picture_is_an_svg_or_a_small_screenshot() -> None:
    assert IMAGES + SCREENSHOTS == PICTURES
    for screenshot in SCREENSHOTS:
        content = screenshot.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) <= MAX_SCREENSHOT_BYTES, screenshot.name
        # Text chunks may hold a machine's path.
        assert not re.search(rb"tEXt|iTXt|zTXt|eXIf", content)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_image_is_self_contained_and_described(image: Path) -> None:
    text = image.read_text()
    root = ET.fromstring(text)  # noqa: S314

    assert root.find(f"{SVG}title") is not None
    assert (root.findtext(f"{SVG}desc") or "").strip()
    assert not re.search(r"<script|\bon\w+=|@import|@font-face|href=|url\((?!#)", text)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_image_shows_no_machine_path(image: Path) -> None:
    assert not re.search(r"/(?:home|root|Users|tmp|work|var|usr)/", image.read_text())


def test_overviews_differ_only_in_colours() -> None:
    light, dark = (
        re.sub(r"#[0-9a-f]{6}\b", "#", (ROOT / f"docs/images/overview-{theme}.svg").read_text())
        for theme in ("light", "dark")
    )

    assert light == dark


def test_recording_shows_the_current_quick_start() -> None:
    """Fails after a change of the README's commands: run `make recording`."""
    transcript = html.unescape(recording.PICTURE.read_text())

    assert all(f"\n$ {command}\n" in transcript for command in recording.quick_start(README))
    assert '"status":"healthy"' in transcript
    assert "data: [DONE]" in transcript
    assert "Traceback" not in transcript
