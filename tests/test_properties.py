"""What holds for every input, where a table of examples would leave out the one that matters."""

from __future__ import annotations

import asyncio
import json
import struct
from contextlib import ExitStack, suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from starlette.requests import Request

from demure.budget import Budget
from demure.decoding.formats import sniff
from demure.decoding.structure import count_jpeg_scans, walk_gif
from demure.errors import (
    DemureError,
    EmptyBody,
    InvalidPolicy,
    InvalidSetting,
    NotAnImage,
    Overloaded,
    UnsupportedFormat,
)
from demure.inputs import Recipe
from demure.keys import Key, Scope, find_key, parse_key, parse_keys
from demure.policy import Outcome, decide, sort_score
from demure.policy_file import find_policy, parse_policy
from demure.preprocess import Crop, Fidelity, Jpeg, Resize
from demure.sandbox_child import format_recipe, parse_recipe
from demure.scores import Category
from demure.settings import PREFIX, Settings, read_settings
from demure.web.submission import Submission, read_submission

# --- Policy -----------------------------------------------------------------------------------------------------------

WITNESS = "open_nsfw"
POLICIES = {name: find_policy(name, {WITNESS}) for name in ("balanced", "strict", "permissive", "original")}
SHARE = st.floats(0, 1, width=32)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, float]:
    """Five scores whose sum is 1, as a softmax gives them, and a witness's."""
    parts = [draw(SHARE) for _ in Category]
    assume(sum(parts) > 0)
    scores = {str(name): part / sum(parts) for name, part in zip(Category, parts, strict=True)}
    return {**scores, WITNESS: draw(SHARE)}


@given(rows(), st.sampled_from(["porn", "hentai"]), SHARE, SHARE, st.sampled_from(["balanced", "strict", "permissive"]))
def test_more_of_what_is_explicit_never_makes_a_decision_milder(row, category, moved, witness, name):
    """Taken from what no policy counts; the witness may rise with it."""
    worse = dict(row)
    taken = moved * row["neutral"]
    worse["neutral"], worse[category] = row["neutral"] - taken, row[category] + taken
    worse[WITNESS] = max(row[WITNESS], witness)
    before, after = (decide(values, POLICIES[name]) for values in (row, worse))
    assert after.outcome.gravity >= before.outcome.gravity
    assert sort_score(worse, POLICIES[name]) >= sort_score(row, POLICIES[name]) - 1e-6


@given(rows())
def test_a_stricter_policy_is_never_milder(row):
    permissive, balanced, strict = (
        decide(row, POLICIES[n]).outcome.gravity for n in ("permissive", "balanced", "strict")
    )
    assert permissive <= balanced <= strict


@given(rows(), st.sets(st.sampled_from([*map(str, Category), WITNESS]), min_size=1), st.sampled_from([*POLICIES]))
def test_a_score_that_is_missing_decides_nothing(row, missing, name):
    left = {key: value for key, value in row.items() if key not in missing}
    assert decide(left, POLICIES[name]).outcome in (Outcome.UNKNOWN, decide(row, POLICIES[name]).outcome)


@given(rows(), st.sampled_from(["porn", "hentai", WITNESS]), st.sampled_from(["balanced", "strict", "permissive"]))
def test_a_score_that_is_no_number_decides_nothing(row, broken, name):
    assert decide({**row, broken: float("nan")}, POLICIES[name]).outcome is Outcome.UNKNOWN


TOML_VALUES = st.recursive(
    st.one_of(st.integers(-2, 2), st.floats(-2, 2), st.booleans(), st.text("ab", max_size=2).map(json.dumps)),
    lambda inner: st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(map(str, items))}]"),
    max_leaves=3,
)
NAMES = st.sampled_from(["name", "porn", "risk", "explicit", "at_least", "at_most", WITNESS, "other"])
LINES = st.one_of(
    st.sampled_from(
        ["[sums]", "[adult]", "[safe]", "[sums.risk]", "[adult.porn]", 'name = "n"', "porn = { at_least = 1 }"]
    ),
    st.tuples(NAMES, TOML_VALUES).map(lambda pair: f"{pair[0]} = {str(pair[1]).lower()}"),
)


@given(st.one_of(st.text(max_size=60), st.lists(LINES, max_size=6).map("\n".join)))
def test_any_text_is_a_policy_or_refused_by_name(text: str):
    with suppress(InvalidPolicy):
        policy = parse_policy(text, "a file", {WITNESS})
        assert decide({}, policy).outcome is Outcome.UNKNOWN


# --- Limits and settings ----------------------------------------------------------------------------------------------


@given(st.integers(1, 100), st.lists(st.lists(st.integers(0, 60), max_size=5), max_size=5))
def test_requests_never_hold_more_than_the_budget_and_give_all_of_it_back(limit: int, requests: list[list[int]]):
    budget, held = Budget(limit), 0
    with ExitStack() as stack:
        for sizes in requests:
            share = stack.enter_context(budget.share())
            for size in sizes:
                with suppress(Overloaded):
                    share.take(size)
                    held += size
                assert budget.held_bytes == held <= limit
    assert budget.held_bytes == 0


VALUES = st.one_of(st.text(max_size=20), st.text("0123456789.,-/: =abx", max_size=8))


@given(st.sampled_from([*Settings.model_fields]), VALUES)
def test_any_value_of_a_setting_is_taken_or_refused_with_its_name(field: str, value: str):
    variable = PREFIX + field.upper()
    try:
        read_settings({variable: value})
    except InvalidSetting as error:
        assert error.message.startswith(variable)  # noqa: PT017  a value that is taken is no failure


KEYS = st.builds(
    Key,
    st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    st.frozensets(st.sampled_from(Scope), min_size=1),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)


@given(st.lists(KEYS, max_size=4), st.text(st.characters(max_codepoint=255)))
def test_keys_read_back_as_they_were_written_and_no_guess_finds_one(keys: list[Key], guess: str):
    assert parse_keys("\n".join(map(str, keys)), "a file") == tuple(keys)
    assert find_key(keys, guess) is None


@given(st.text(min_size=9, max_size=90))
def test_a_key_that_is_refused_is_not_shown(text: str):
    assume(text not in "the environment: an entry is not of the form")
    with pytest.raises(InvalidSetting) as refused:
        parse_key(text, "the environment")
    assert text not in refused.value.message


# --- Files, by a writer of our own ------------------------------------------------------------------------------------

PIECES = st.lists(st.binary(min_size=1, max_size=255), max_size=4)


def sub_blocks(pieces: list[bytes]) -> bytes:
    """GIF89a, section 15."""
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


@st.composite
def gifs(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """A GIF with extensions between its frames, and where the data of each frame start."""
    table = draw(st.sampled_from([b"", bytes(6), bytes(48)]))  # 2 and 16 colours
    flags = {0: 0, 6: 0x80, 48: 0x83}
    data, starts = b"GIF89a" + struct.pack("<HHBBB", 9, 9, flags[len(table)], 0, 0) + table, []
    for is_frame in draw(st.lists(st.booleans(), max_size=8)):
        if is_frame:
            local = draw(st.sampled_from([b"", bytes(6)]))
            data += b"\x2c" + struct.pack("<4HB", 0, 0, 9, 9, flags[len(local)]) + local + b"\x08"
            starts.append(len(data))
        else:
            data += b"\x21" + draw(st.sampled_from([b"\xfe", b"\xff"]))  # a comment, an application's own
        data += sub_blocks(draw(PIECES))
    return data + b"\x3b", starts


@given(gifs(), st.binary(max_size=20))
def test_the_frames_of_any_gif_are_found_where_they_were_written(gif: tuple[bytes, list[int]], behind: bytes):
    data, starts = gif
    assert [frame.data_at for frame in walk_gif(data + behind, limit=100)] == starts


@st.composite
def progressive_jpegs(draw: st.DrawFn) -> tuple[bytes, int]:
    """The markers of a progressive JPEG (T.81, annex B) around arbitrary segments, and the number of its scans."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    anything = st.binary(max_size=40)
    data = b"\xff\xd8" + segment(0xE1, draw(anything)) + segment(0xC2, bytes([8, 0, 9, 0, 9, 3]) + bytes(9))
    scans = draw(st.integers(0, 6))
    for _ in range(scans):
        if draw(st.booleans()):
            data += segment(draw(st.sampled_from([0xC4, 0xDB, 0xFE])), draw(anything))
        data += segment(0xDA, b"\x01" + draw(anything))
        data += draw(anything).replace(b"\xff", b"\xff\0") + b"\xff\xd0" + draw(anything).replace(b"\xff", b"\xff\0")
    return data + b"\xff\xd9", scans


@given(progressive_jpegs(), st.binary(max_size=40))
def test_the_scans_of_any_progressive_jpeg_are_counted_and_nothing_else_is(jpeg: tuple[bytes, int], behind: bytes):
    data, scans = jpeg
    assert count_jpeg_scans(data + behind, limit=100) == scans


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_format_is_told_by_the_first_4096_bytes_alone(head: bytes, behind: bytes):
    padded = head.ljust(4096, b"\0")

    def told(data: bytes) -> object:
        try:
            return sniff(data)
        except (EmptyBody, NotAnImage, UnsupportedFormat) as error:
            return type(error)

    assert told(padded + behind) is told(padded)


# --- What crosses a boundary ------------------------------------------------------------------------------------------

SIDES = st.integers(1, 400)
STEPS = st.tuples(
    st.builds(Resize, SIDES, SIDES, st.booleans()),
    st.lists(st.one_of(st.builds(Crop, SIDES, SIDES), st.builds(Jpeg, st.integers(1, 95))), max_size=2),
).map(lambda pair: (pair[0], *pair[1]))


@given(st.dictionaries(st.text(min_size=1, max_size=8), STEPS, min_size=1, max_size=3), st.sampled_from(Fidelity))
def test_a_recipe_reaches_the_decoder_as_it_was_sent(steps, fidelity):
    recipe = Recipe(steps, fidelity)
    assert parse_recipe(format_recipe(recipe)) == recipe


ENGINE = SimpleNamespace(settings=Settings(max_items=4, max_image_bytes=200))
BODIES = st.one_of(
    st.tuples(st.just("image/png"), st.binary(max_size=300)),
    st.tuples(
        st.just("application/json"),
        st.lists(
            st.fixed_dictionaries({}, optional={"base64": st.text("aQ=", max_size=8), "id": st.text()}), max_size=5
        ).map(lambda items: json.dumps({"items": items}).encode("utf-8")),
    ),
    st.tuples(
        st.just("multipart/form-data; boundary=b"),
        st.lists(st.binary(max_size=60), max_size=5).map(
            lambda files: (
                b"".join(
                    b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n' + file + b"\r\n"
                    for file in files
                )
                + b"--b--\r\n"
            )
        ),
    ),
)


def read(content_type: str, body: bytes, pieces: list[bytes]) -> Submission | str:
    """What was read, or the code of the refusal."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())], "query_string": b"", "state": {}}

    async def receive() -> dict:
        return messages.pop(0)

    async def ask() -> Submission:
        request = Request(scope, receive)
        with Budget(10_000).share() as share:
            request.state.share = share
            return await read_submission(request, ENGINE)

    try:
        return asyncio.run(ask())
    except DemureError as error:
        return error.code


def facts(answer: Submission | str) -> object:
    if isinstance(answer, str):
        return answer
    return [(str(image.source), image.id, image.context) for image in answer.images]


@profile(max_examples=50)
@given(BODIES, st.lists(st.integers(1, 400), max_size=4))
def test_how_a_body_is_cut_on_its_way_changes_nothing(body: tuple[str, bytes], cuts: list[int]):
    content_type, data = body
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    whole = facts(read(content_type, data, [data]))
    assert facts(read(content_type, data, pieces)) == whole
    assert whole in ("invalid_request", "too_large") or isinstance(whole, list)
