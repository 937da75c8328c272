"""The way of one image, with tiny models whose scores can be read off a colour: red is porn, green neutral, blue sexy."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hostile.png import chunk
from pictures import EXAMPLE, animation, encode, gradient
from PIL import Image
from profiles import GAMMA_2_2, GREEN_XYZ, RED_XYZ, lut_profile, matrix_profile
from tiny_models import RULES

import demure
from demure.classifier import Classifiers
from demure.decode import DecodeLimits
from demure.errors import DamagedWeights, InvalidPolicy, NotAnImage, SourceNotFound, UnknownModel, UnknownPolicy
from demure.models import Registry
from demure.pipeline import Screener, classify_with
from demure.policy_file import parse_policy
from demure.sandbox import Sandbox

RED, GREEN, BLUE, BLACK = ([255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0])


def plain(colour: list[int], width: int = 40, height: int = 40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.fixture
def classifiers(models_dir: Path) -> Classifiers:
    return Classifiers(Registry(models_dir))


@pytest.fixture
def screener(classifiers: Classifiers) -> Screener:
    policy = parse_policy(RULES, "colours", classifiers.registry.witnesses)
    return Screener(policy, model="colour", classifiers=classifiers)


@pytest.mark.parametrize(
    ("colour", "decision", "reason", "score"),
    [
        (RED, "adult", "porn >= 0.8 and redness >= 0.8", 1.0),
        (GREEN, "safe", "risk <= 0.2 and redness <= 0.2", 0.0),
        (BLUE, "unknown", "uncertain", 0.5),
        ([128, 128, 0], "unknown", "uncertain", 0.5),
    ],
)
def test_an_image_is_scored_and_decided(screener, colour, decision, reason, score):
    answer = screener.screen(encode(plain(colour), "PNG"))
    assert (answer.decision, answer.reason) == (decision, reason)
    assert answer.score == pytest.approx(score, abs=0.01)
    assert answer.scores["porn"] == pytest.approx(colour[0] / sum(colour), abs=1e-4)
    assert answer.witnesses["redness"] == pytest.approx(colour[0] / 255, abs=1e-4)
    assert answer.error is None


def test_models_that_disagree_are_told_as_such(classifiers: Classifiers):
    # Dark red: all of its colour is red (porn 1), and there is little of it (redness 0.1).
    policy = parse_policy(RULES, "colours", classifiers.registry.witnesses)
    answer = Screener(policy, model="colour", classifiers=classifiers).screen(plain([26, 0, 0]))
    assert (answer.decision, answer.reason) == ("unknown", "models_disagree")


SOURCES = {
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "path": lambda path: path,
    "text": str,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_may_be_a_path_or_bytes(screener: Screener, tmp_path: Path, source):
    path = tmp_path / "red.png"
    path.write_bytes(encode(plain(RED), "PNG"))
    answer = screener.screen(source(path), id="mine")
    assert (answer.id, answer.decision) == ("mine", "adult")
    assert answer.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert answer.media == demure.Media("image/png", 40, 40, 1, 1)


def test_a_source_may_be_an_array(screener: Screener):
    answer = screener.screen(plain(RED))
    assert (answer.decision, answer.sha256, answer.media.type) == ("adult", None, None)


def test_models_and_frames_may_be_asked_in_any_order(classifiers: Classifiers, screener: Screener):
    """Two models and three frames are six calls; they are made here from the last to the first."""
    asked: list[int] = []

    def backwards(calls):
        asked.append(len(calls))
        return [call() for call in reversed(calls)][::-1]

    data = animation([plain(GREEN), plain(RED), plain(BLUE)], "PNG")
    other = Screener(screener.policy, model="colour", classifiers=classifiers, side_by_side=backwards)
    answer, expected = other.screen(data), screener.screen(data)
    assert asked == [6]
    assert (answer.decision, answer.worst_frame, answer.scores) == ("adult", 1, expected.scores)
    assert answer.witnesses == expected.witnesses


@pytest.mark.parametrize("bad", range(5))
def test_the_worst_frame_wins_and_is_named(screener: Screener, bad: int):
    frames = [plain(GREEN)] * 5
    frames[bad] = plain(RED)
    # Frames that repeat are merged by the writer unless they differ.
    for i, frame in enumerate(frames):
        frames[i] = frame.copy()
        frames[i][0, i] = 9
    answer = screener.screen(animation(frames, "WEBP", lossless=True))
    assert (answer.decision, answer.worst_frame) == ("adult", bad)
    assert answer.scores["porn"] > 0.9
    assert answer.as_dict()["media"] == {
        "type": "image/webp",
        "width": 40,
        "height": 40,
        "frames": 5,
        "sampled": 5,
        "worst_frame": bad,
    }


def test_a_graver_decision_outweighs_a_higher_number(screener: Screener):
    # Blue: unknown, 0.5. Dark red: unknown, models disagree, 1.0. Reddish (porn 0.81, redness 0.84): adult, 0.84.
    frames = [plain(BLUE), plain([26, 0, 0]), plain([215, 50, 0])]
    answer = screener.screen(animation(frames, "WEBP", lossless=True))
    assert (answer.decision, answer.worst_frame) == ("adult", 2)
    assert answer.score == pytest.approx(215 / 255, abs=0.01)


def test_a_transparent_picture_is_judged_by_its_worse_ground(screener: Screener):
    # On white (255, 45, 45): porn 0.74, unknown. On black (210, 0, 0): porn 1, redness 0.82, adult.
    rgba = np.dstack([plain(RED), np.full((40, 40), 210, np.uint8)])
    answer = screener.screen(encode(rgba, "PNG"))
    assert answer.decision == "adult"
    assert answer.scores["porn"] > 0.99
    assert answer.media.sampled == 1


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [(31, 400, "too_small"), (400, 31, "too_small"), (32, 32, "risk <= 0.2 and redness <= 0.2")],
)
def test_a_side_below_32_pixels_is_too_small_to_decide_but_is_scored(screener, width, height, reason):
    answer = screener.screen(plain(GREEN, width, height))
    assert answer.reason == reason
    assert answer.decision == ("unknown" if reason == "too_small" else "safe")
    assert answer.scores["neutral"] > 0.99


BAD = {
    "empty": (b"", "empty_body"),
    "text": (b"hello", "not_an_image"),
    "svg": (b"<svg/>", "unsupported_format"),
    "cut": (EXAMPLE.read_bytes()[:5000], "undecodable"),
    "large": (bytes(21 * 1024 * 1024), "too_large"),
    "pixels": (encode(np.zeros((5001, 10_000), np.uint8), "PNG"), "too_many_pixels"),
    "frames": (animation([plain([i % 256, i // 256, 0], 2, 2) for i in range(1001)]), "too_many_frames"),
    "no-file": ("no/such/file.jpg", "not_found"),
    "folder": (str(Path(__file__).parent), "not_found"),
    "nul-in-name": ("a\0b", "not_found"),
    "gray-array": (np.zeros((40, 40), np.uint8), "not_an_image"),
    "something-else": (3, "not_an_image"),
}


@pytest.mark.parametrize("where", ["in-process", "sandboxed"])
@pytest.mark.parametrize(("source", "code"), BAD.values(), ids=BAD)
def test_what_cannot_be_judged_is_unknown_with_its_code_and_never_safe(
    classifiers: Classifiers, sandbox: Sandbox, source, code, where
):
    screener = Screener(model="colour", classifiers=classifiers, sandbox=sandbox if where == "sandboxed" else None)
    answer = screener.screen(source, id="x")
    assert (answer.decision, answer.reason, answer.error.code) == ("unknown", code, code)
    assert (answer.score, answer.scores, answer.witnesses, answer.media) == (None, None, None, None)
    assert answer.as_dict()["error"] == {"code": code, "message": answer.error.message}


@pytest.mark.parametrize(("source", "code"), BAD.values(), ids=BAD)
def test_classify_raises_the_same_as_a_typed_error(source, code):
    with pytest.raises(demure.DemureError) as caught:
        demure.classify(source)
    assert caught.value.code == code


def test_an_image_of_exactly_the_limit_is_read(screener: Screener, tmp_path: Path):
    data = encode(plain(GREEN), "PNG")
    path = tmp_path / "green.png"
    path.write_bytes(data + bytes(20 * 1024 * 1024 - len(data)))
    assert screener.screen(path).decision == "safe"
    path.write_bytes(data + bytes(20 * 1024 * 1024 - len(data) + 1))
    assert screener.screen(path).reason == "too_large"


def test_the_item_has_the_keys_of_the_interface(screener: Screener):
    item = screener.screen(plain(GREEN), id="a").as_dict()
    assert [*item] == [
        "id",
        "sha256",
        "decision",
        "reason",
        "score",
        "scores",
        "witnesses",
        "media",
        "remembered",
        "timings_ms",
    ]
    assert json.loads(json.dumps(item)) == item
    assert {*item["timings_ms"]} == {"decode", "classify", "total"}


def test_a_decision_names_its_policy_and_version(screener: Screener):
    for source in (plain(GREEN), b"no image"):
        answer = screener.screen(source)
        assert (answer.policy, answer.policy_version) == ("colours", screener.policy.version)


def test_only_the_models_that_the_policy_names_are_asked(classifiers: Classifiers):
    rules = 'name="one"\n[safe]\nneutral={at_least=0.5}'
    alone = Screener(
        parse_policy(rules, "one", classifiers.registry.witnesses), model="colour", classifiers=classifiers
    )
    answer = alone.screen(plain(GREEN))
    assert (answer.decision, answer.witnesses) == ("safe", {})


def test_a_witness_asked_alone_decides_nothing_that_needs_the_categories(classifiers: Classifiers):
    policy = parse_policy(RULES, "colours", classifiers.registry.witnesses)
    answer = Screener(policy, model="redness", classifiers=classifiers).screen(plain(GREEN))
    assert (answer.decision, answer.scores.as_dict(), [*answer.witnesses]) == ("unknown", {}, ["redness"])


def test_a_wrong_question_is_raised_when_it_is_asked(tmp_path: Path):
    with pytest.raises(UnknownModel, match="known: inception_v3"):
        Screener(model="nope")
    with pytest.raises(UnknownPolicy, match="known: balanced"):
        Screener("nope")
    with pytest.raises(UnknownPolicy):
        demure.screen(EXAMPLE, policy="nope")
    with pytest.raises(UnknownModel):
        demure.classify(EXAMPLE, model="nope")
    with pytest.raises(InvalidPolicy):
        Screener(str(tmp_path / "absent.toml"))


def test_damaged_weights_are_raised_and_not_answered(models_dir: Path, screener: Screener):
    (models_dir / "colour.onnx").write_bytes(b"rot")
    with pytest.raises(DamagedWeights):
        screener.screen(plain(GREEN))


def test_classify_answers_the_worst_frame(classifiers: Classifiers):
    data = animation([plain(GREEN), plain(RED), plain(BLUE)], "WEBP", lossless=True)
    assert classify_with(classifiers["colour"], data)["porn"] > 0.99
    assert classify_with(classifiers["redness"], data)["redness"] > 0.99


def test_the_sandbox_changes_no_answer(screener: Screener, classifiers: Classifiers, sandbox: Sandbox):
    sandboxed = Screener(screener.policy, model="colour", classifiers=classifiers, sandbox=sandbox)
    for data in (
        encode(gradient(90, 50), "JPEG"),
        encode(gradient(90, 50), "PNG"),
        animation([plain(RED), plain(BLUE)]),
    ):
        here, there = screener.screen(data).as_dict(), sandboxed.screen(data).as_dict()
        assert here.pop("timings_ms").keys() == there.pop("timings_ms").keys()
        assert here == there


def test_a_file_that_is_read_by_many_threads_is_answered_alike(screener: Screener):
    data = encode(gradient(90, 50), "PNG")
    with ThreadPoolExecutor(4) as pool:
        scores = {tuple(answer.scores.items()) for answer in pool.map(screener.screen, [data] * 40)}
    assert len(scores) == 1


def test_limits_can_be_set(classifiers: Classifiers):
    strict = Screener(model="colour", classifiers=classifiers, limits=DecodeLimits(max_pixels=100))
    assert strict.screen(plain(GREEN)).reason == "too_many_pixels"


def test_the_real_models_judge_a_real_picture():
    answer = demure.screen(EXAMPLE)
    assert (answer.decision, answer.policy) == ("safe", "balanced")
    assert [*answer.witnesses] == ["open_nsfw"]
    assert answer.scores["neutral"] > 0.9


def test_errors_are_typed(tmp_path: Path):
    with pytest.raises(SourceNotFound, match="No such file"):
        demure.classify(tmp_path / "absent.jpg")
    with pytest.raises(NotAnImage, match="found BytesIO"):
        demure.classify(io.BytesIO(b""))


# --- What is stored green and shown red -------------------------------------------------------------------------------


TO_RED = matrix_profile(GAMMA_2_2, red=GREEN_XYZ, green=RED_XYZ)
INK = Image.fromarray(np.full((40, 40, 4), (255, 0, 255, 0), np.uint8), "CMYK")  # cyan and yellow: green
# Lab of red for cyan with yellow, white for all else: 16 corners, black varies fastest.
RED_LAB, WHITE_LAB = (34_745, 53_329, 49_988), (65_280, 32_768, 32_768)  # (53.2, 80.3, 67.2): sRGB's red
RED_INK = lut_profile([RED_LAB if corner == 0b1010 else WHITE_LAB for corner in range(16)], b"CMYK", 4, b"prtr")
SHOWN_RED = {
    "png-profile": encode(plain(GREEN), "PNG", icc_profile=TO_RED),
    "jpeg-profile": encode(plain(GREEN), "JPEG", quality=95, icc_profile=TO_RED),
    "webp-profile": encode(plain(GREEN), "WEBP", lossless=True, icc_profile=TO_RED),
    "avif-profile": encode(plain(GREEN), "AVIF", quality=95, icc_profile=TO_RED),
    "jpeg-ink": encode(INK, "JPEG", quality=95, icc_profile=RED_INK),
    "png-primaries": (found := encode(plain(GREEN), "PNG"))[:33]
    + chunk(b"gAMA", struct.pack(">I", 45_455))
    + chunk(b"cHRM", struct.pack(">8I", 31_270, 32_900, 30_000, 60_000, 64_000, 33_000, 15_000, 6_000))
    + found[33:],
}


@pytest.mark.parametrize("data", SHOWN_RED.values(), ids=SHOWN_RED)
def test_a_file_that_lies_green_and_is_shown_red_is_adult(screener: Screener, data: bytes):
    assert screener.screen(data).decision == "adult"
    assert screener.screen(encode(plain(GREEN), "PNG")).decision == "safe"


@pytest.mark.parametrize("alpha", [255, 1, 0])
def test_a_picture_hidden_under_alpha_is_judged(screener: Screener, alpha: int):
    """On white and on black next to nothing of it is seen; a thumbnail without alpha shows it."""
    picture = np.full((40, 40, 4), (255, 0, 0, alpha), np.uint8)
    picture[::2, :, 0] = 215
    assert screener.screen(encode(Image.fromarray(picture), "PNG")).decision == "adult"


def test_a_frame_that_is_shown_for_a_minute_is_judged(screener: Screener):
    """Of 100 frames a third is scored; this one stands between two that an even sample takes."""
    pictures = [Image.fromarray(plain([0, 255 - i, 0])) for i in range(100)]
    pictures[50] = Image.fromarray(plain(RED))
    first, *rest = pictures
    times = [40] * 50 + [60_000] + [40] * 49
    answer = screener.screen(encode(first, "GIF", save_all=True, append_images=rest, duration=times))
    assert (answer.decision, answer.worst_frame) == ("adult", 50)
