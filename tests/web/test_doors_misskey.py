"""Misskey's call: what its SensitiveMediaDetectionService sends and believes, and what misskey-dev/sensitive-detector's own tests expect."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from doors import ADULT, BROKEN, SAFE, UNSURE, keyed

PATH = "/v1/detect-images"
# The call as that service makes it: a part image0, image1, … for each, of type image/png, and no content type set by hand.
CLIENT = """
const { url, key, images } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const form = new FormData();
images.forEach((image, i) => {
  form.append(`image${i}`, new Blob([Buffer.from(image, 'hex')], { type: 'image/png' }), `${i}.png`);
});
fetch(new URL('v1/detect-images', url + '/'), {
  method: 'POST', headers: key ? { Authorization: `Bearer ${key}` } : {}, body: form,
}).then(async (answer) => console.log(JSON.stringify({ status: answer.status, body: await answer.json() })));
"""


def detect(url: str, images: list[bytes], key: str = "") -> tuple[int, dict]:
    """As Misskey asks. Its runtime is Node, and so is this."""
    sent = json.dumps({"url": url, "key": key, "images": [image.hex() for image in images]})
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        ["node", "-e", CLIENT], input=sent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["status"], answer["body"]


def is_sensitive(result: dict) -> tuple[bool, bool]:
    """As Misskey judges, at its default thresholds: whether to cover it, and whether to refuse it (FileInfoService.ts)."""
    found = {each["className"]: each["probability"] for each in result["predictions"]}
    return any(found[name] > 0.5 for name in ("Sexy", "Hentai", "Porn")), found["Porn"] > 0.75


@pytest.fixture(scope="module")
def house(tiny, tmp_path_factory):
    with keyed(tmp_path_factory.mktemp("misskey"), tiny) as house:
        yield house


def test_misskey_is_answered_for_each_image_in_its_place(house):
    status, body = detect(house.url, [ADULT, BROKEN, SAFE, UNSURE], house.secrets["classify"])
    assert status == 200
    assert {*body} == {"success", "result"}
    assert body["success"] is True
    red, broken, green, blue = body["result"]["results"]
    for result, first in ((red, "Porn"), (green, "Neutral"), (blue, "Sexy")):
        assert result["success"] is True
        assert {each["className"] for each in result["predictions"]} == {"Drawing", "Hentai", "Neutral", "Porn", "Sexy"}
        probabilities = [each["probability"] for each in result["predictions"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert result["predictions"][0]["className"] == first
        assert probabilities[0] == pytest.approx(1, abs=1e-4)
    assert [is_sensitive(result) for result in (red, green, blue)] == [(True, True), (False, False), (True, False)]
    assert broken["success"] is False
    assert broken["error"]["code"] == "IMAGE_DECODE_FAILED"
    assert broken["error"]["message"]


def test_a_prefix_of_the_base_address_is_not_ours_to_answer(house):
    assert detect(f"{house.url}/prefix", [SAFE], house.secrets["admin"])[0] == 404


def test_without_a_key_misskey_is_told_so_in_its_own_words(house):
    status, body = detect(house.url, [SAFE])
    assert (status, body["success"], body["error"]["code"]) == (401, False, "AUTHENTICATION_REQUIRED")


# As apps/server/test/app.test.ts of the detector has them.


def test_two_images_have_two_results(service):
    status, body = detect(str(service.base_url), [SAFE, SAFE])
    assert (status, len(body["result"]["results"])) == (200, 2)


@pytest.mark.parametrize("media_type", ["image/png", "multipart/form-dataxxx; boundary=x", "application/json", ""])
def test_what_is_not_multipart_is_415(service, media_type: str):
    answer = service.post(PATH, content=SAFE, headers={"content-type": media_type} if media_type else {})
    assert (answer.status_code, answer.json()["success"]) == (415, False)
    assert answer.json()["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="a"; filename="0.png"\r\n\r\n' + SAFE + b"\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (MULTIPART, b"--x--\r\n"),
        (MULTIPART, b""),
        (MULTIPART, b"--x\r\nContent-Disposition: nonsense\r\n\r\n"),
        ("multipart/form-data", b"--x--\r\n"),
        (f"{MULTIPART}; charset=utf-7", PART),
    ],
    ids=["no-parts", "empty", "malformed", "no-boundary", "charset"],
)
def test_a_form_without_parts_or_that_cannot_be_read_is_400(service, media_type: str, body: bytes):
    assert service.post(PATH, content=PART, headers={"content-type": MULTIPART}).status_code == 200
    answer = service.post(PATH, content=body, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


PARTS = {
    "not-a-file": ((None, "text"), "INVALID_REQUEST"),
    "empty": (("0.png", b""), "INVALID_REQUEST"),
    "svg": (("0.png", b"<svg/>"), "UNSUPPORTED_MEDIA_TYPE"),
    "no-image": (("0.png", b"hello"), "IMAGE_DECODE_FAILED"),
    "cut-short": (("0.png", BROKEN), "IMAGE_DECODE_FAILED"),
}


@pytest.mark.parametrize(("part", "code"), PARTS.values(), ids=PARTS)
def test_a_part_that_cannot_be_judged_fails_alone(service, part: tuple, code: str):
    files = [("image0", ("0.png", SAFE)), ("image1", part), ("image2", ("2.png", SAFE))]
    answer = service.post(PATH, files=files)
    assert answer.status_code == 200
    results = answer.json()["result"]["results"]
    assert [result["success"] for result in results] == [True, False, True]
    assert results[1]["error"]["code"] == code
    assert "predictions" not in results[1]


def test_the_type_that_a_part_claims_is_not_believed(service):
    (result,) = service.post(PATH, files={"a": ("0.png", SAFE, "text/plain")}).json()["result"]["results"]
    assert result["success"] is True


@pytest.mark.parametrize("name", ["misskey-abc.123_DEF", "bad id with spaces!"])
def test_a_request_id_that_holds_comes_back(service, name: str):
    answer = service.post(PATH, files={"a": ("0.png", SAFE)}, headers={"x-request-id": name})
    assert (answer.headers["x-request-id"] == name) == (" " not in name)
