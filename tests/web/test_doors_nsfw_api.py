"""nsfw-api's two calls, made as its README and those of its likes make them: with curl."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from doors import ADULT, BROKEN, SAFE, UNSURE

CLASSES = {"drawing", "hentai", "neutral", "porn", "sexy"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in {"red.png": ADULT, "green.png": SAFE, "blue.png": UNSURE, "broken.png": BROKEN}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def curl(service, folder: Path, path: str, *options: str) -> tuple[int, object]:
    command = ["curl", "--noproxy", "*", "--silent", "--show-error", "--location", "--request", "POST"]
    done = subprocess.run(
        [*command, f"{str(service.base_url).rstrip('/')}{path}", *options, "--write-out", "\n%{http_code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize(("name", "first"), [("red", "porn"), ("green", "neutral"), ("blue", "sexy")])
def test_one_image_has_five_scores_the_likeliest_first(service, folder, name: str, first: str):
    status, scores = curl(service, folder, "/classify", "--form", f'image=@"{name}.png"')
    assert (status, {*scores}) == (200, CLASSES)
    assert next(iter(scores)) == first
    assert scores[first] == pytest.approx(1, abs=1e-4)
    assert [*scores.values()] == sorted(scores.values(), reverse=True)
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)


def test_many_images_have_scores_in_their_order(service, folder):
    forms = [option for name in ("blue", "red", "green") for option in ("--form", f'images=@"{name}.png"')]
    status, answers = curl(service, folder, "/classify-many", *forms)
    assert status == 200
    assert [next(iter(scores)) for scores in answers] == ["sexy", "porn", "neutral"]
    assert all({*scores} == CLASSES for scores in answers)


def test_the_decisions_stand_in_a_header(service, folder):
    files = [("images", (name, (folder / name).read_bytes())) for name in ("blue.png", "red.png", "green.png")]
    assert service.post("/classify-many", files=files).headers["demure-decision"] == "unknown, adult, safe"
    assert service.post("/classify", files={"image": files[1][1]}).headers["demure-decision"] == "adult"


def test_other_fields_of_a_form_change_nothing(service, folder):
    status, scores = curl(service, folder, "/classify", "--form", "album=7", "--form", "image=@red.png")
    assert (status, next(iter(scores))) == (200, "porn")


# Its program's words, and 410, for a request without an image (NsfwController.ts).
WITHOUT = {
    "nothing": [],
    "no-form": ["--data", "[]", "--header", "Content-Type: application/json"],
    "raw-bytes": ["--data-binary", "@red.png", "--header", "Content-Type: image/png"],
    "text-in-its-place": ["--form", "{field}=red.png"],
    "another-field": ["--form", "file=@red.png"],
}


@pytest.mark.parametrize("options", WITHOUT.values(), ids=WITHOUT)
@pytest.mark.parametrize(("path", "field"), [("/classify", "image"), ("/classify-many", "images")])
def test_without_an_image_it_is_410(service, folder, path: str, field: str, options: list[str]):
    status, body = curl(service, folder, path, *(option.format(field=field) for option in options))
    assert status == 410
    assert {*body} == {"error"}
    assert body["error"].startswith(f"Specify {field}")


def test_a_file_in_another_field_is_not_left_out(service, folder):
    for path, field in (("/classify", "image"), ("/classify-many", "images")):
        status, body = curl(service, folder, path, "--form", f"{field}=@green.png", "--form", "second=@red.png")
        assert (status, "second" in body["error"]) == (410, True)


def test_two_files_where_one_is_asked_for_are_refused(service, folder):
    status, body = curl(service, folder, "/classify", "--form", "image=@green.png", "--form", "image=@red.png")
    assert (status, "/classify-many" in body["error"]) == (410, True)


def test_a_form_that_cannot_be_read_is_410(service):
    answer = service.post("/classify", content=b"--y", headers={"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, {*answer.json()}) == (410, {"error"})


BAD = {"cut-short": (BROKEN, 422), "no-image": (b"hello", 422), "empty": (b"", 422), "svg": (b"<svg/>", 422)}


@pytest.mark.parametrize(("data", "status"), BAD.values(), ids=BAD)
def test_an_image_that_cannot_be_judged_is_an_error_and_fails_all(service, data: bytes, status: int):
    alone = service.post("/classify", files={"image": ("a.png", data)})
    assert (alone.status_code, {*alone.json()}) == (status, {"error"})
    among = service.post("/classify-many", files=[("images", ("a.png", each)) for each in (SAFE, data, SAFE)])
    assert among.status_code == status
    assert among.json() == {"error": f"image 2: {alone.json()['error']}"}
