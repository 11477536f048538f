from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest, PreconditionFailed
from gateway.registry.etags import IfMatch, etag, parse_if_match
from tests.unit.gateway.builders import BRIEFLY, a_provider

TAGS = st.builds('"{}"'.format, st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=5)).filter(
    lambda tag: '"' not in tag[1:-1] and not any(0x7F <= ord(c) < 0x80 for c in tag)
)
SPACES = st.text(" \t", max_size=3)


def is_rejected(expected: IfMatch | None, **changes: object) -> bool:
    assert expected is not None
    try:
        expected.check(a_provider(**changes))
    except PreconditionFailed:
        return True
    return False


def test_etag_is_strong_and_depends_on_revision_and_default() -> None:
    plain = a_provider()
    tags = [etag(p) for p in (plain, replace(plain, default=True), replace(plain, revision="r2"))]
    assert len(set(tags)) == 3
    assert all(tag[0] == tag[-1] == '"' for tag in tags)
    assert etag(replace(plain, health=replace(plain.health, status="failed"))) == etag(plain)


def test_no_header_means_no_condition() -> None:
    assert parse_if_match(None) is None


@pytest.mark.parametrize("header", ["*", " * ", "\t*"])
def test_star_matches_any_existing_provider(header: str) -> None:
    expected = parse_if_match(header)
    assert expected == IfMatch(None)
    assert not is_rejected(expected)
    with pytest.raises(PreconditionFailed):
        IfMatch().check(None)


def test_tag_matches_only_the_same_revision_and_default() -> None:
    expected = parse_if_match(etag(a_provider()))
    assert not is_rejected(expected)
    assert is_rejected(expected, revision="r2")
    assert is_rejected(expected, default=True)


def test_tag_does_not_match_missing_provider() -> None:
    with pytest.raises(PreconditionFailed):
        IfMatch(frozenset({etag(a_provider())})).check(None)


@pytest.mark.parametrize("header", ['W/"r1"', '"R1"', '""', '"r"', '"r1 "', '"r1,"', '"*"'])
def test_rejects_similar_tags(header: str) -> None:
    assert etag(a_provider()) == '"r1"'
    try:
        assert is_rejected(parse_if_match(header))
    except InvalidRequest:
        # Only a tag with a space is malformed.
        assert " " in header


MALFORMED = [
    *("", " ", ",", ", ,", "r1", "'r1'", '"r1', 'r1"', '"r1" "r2"', '"r1"; "r2"', '*, "r1"', '"r1", *', "**"),
    *('w/"r1"', 'W/ "r1"', 'W/"r1', '"r1"x', '"r1\x00"', '"r1\x7f"', '"r1\n"', '"日本"', '"r1"\n', '"\ud800"'),
]


@pytest.mark.parametrize("header", MALFORMED)
def test_rejects_malformed_headers_without_repeating_them(header: str) -> None:
    with pytest.raises(InvalidRequest, match="with its quotes") as caught:
        parse_if_match(header)
    assert (caught.value.status, caught.value.param) == (400, "If-Match")


@BRIEFLY
@given(st.lists(st.tuples(st.booleans(), TAGS, SPACES, SPACES), min_size=1))
def test_parses_any_list_of_tags(listed: list[tuple[bool, str, str, str]]) -> None:
    header = ",".join(f"{before}{'W/' * weak}{tag}{behind}" for weak, tag, before, behind in listed)
    expected = parse_if_match(header)
    assert expected is not None
    assert expected == IfMatch(frozenset("W/" * weak + tag for weak, tag, _, _ in listed))


@BRIEFLY
@given(st.text(st.sampled_from('"W/*, \ta')))
def test_any_other_text_is_parsed_or_rejected(text: str) -> None:
    try:
        expected = parse_if_match(text)
    except InvalidRequest:
        return
    assert expected is not None
    assert expected.tags is None or all(tag.endswith('"') for tag in expected.tags)


def test_long_header_of_commas_is_fast() -> None:
    with pytest.raises(InvalidRequest):
        parse_if_match('"a"' + ", " * 20_000 + "x")
