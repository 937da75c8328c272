#!/usr/bin/env python3
"""Make the pictures of README and docs: the review page with the example in its queue, in Chromium, from a real service.

    .venv/bin/python tools/make_screenshots.py

A policy of its own calls so little safe that a cup of coffee must be looked at: there is nothing else here that would be in a
queue. What the page shows of it are the models' scores.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from pictures import EXAMPLE, encode  # noqa: E402
from processes import free_port, running, serve  # noqa: E402

from demure.keys import make_key  # noqa: E402

OUT = ROOT / "docs" / "images"
SIZES = {"": (1280, 800), "-phone": (390, 844)}
WORDS = "four words of sense"
NOTHING_IS_SAFE = """
name = "example"
[sums]
risk = { porn = 1, hentai = 1, sexy = 0.5 }
[adult]
risk = { at_least = 0.85 }
open_nsfw = { at_least = 0.8 }
[safe]
risk = { at_most = 0.00001 }
open_nsfw = { at_most = 0.00001 }
"""


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        policies = Path(folder, "policies")
        policies.mkdir()
        (policies / "example.toml").write_text(NOTHING_IS_SAFE)
        key, secret = make_key("site", ["admin"])
        port = free_port()
        given = {"POLICIES_DIR": policies, "POLICY": "example", "API_KEYS": key}
        variables = {f"DEMURE_{name}": str(value) for name, value in given.items()}
        with running(serve(port), port, Path(folder), **variables) as process:
            url = f"http://127.0.0.1:{port}"
            queue(url, secret)
            (link,) = re.findall(r"http://\S+/review/set-up\?token=[\w-]+", "".join(process.lines))
            shoot(url, link)


def queue(url: str, secret: str) -> None:
    """Pieces of the example, the first of them for the first size's one verdict, and so on."""
    photo = Image.open(EXAMPLE).convert("RGB")
    pieces = [photo, *(photo.crop((n * 40, n * 25, 400 + n * 40, 300 + n * 20)) for n in range(1, 5))]
    for number, piece in enumerate(pieces):
        files = {"file": (f"post-{4711 + number}.jpg", encode(piece, "JPEG", quality=90))}
        headers = {"authorization": f"Bearer {secret}"}
        answer = httpx.post(f"{url}/v1/moderate", files=files, data={"review": "true"}, headers=headers, timeout=30)
        print(answer.json()["items"][0]["decision"], answer.json()["items"][0]["reason"])


def shoot(url: str, link: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(link)
        for field in page.locator("input[type=password]").all():
            field.fill(WORDS)
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in*")
        for ending, (width, height) in SIZES.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
            page = sign_in(context.new_page(), url)
            judge(page)
            Image.open(io.BytesIO(page.screenshot())).save(OUT / f"review{ending}.webp", quality=85, method=6)
        browser.close()


def judge(page: Page) -> None:
    """The first, so that it shows what the machine thought of it."""
    page.keyboard.press("s")
    page.get_by_text("Item 2", exact=True).wait_for()
    page.wait_for_selector("#desk[data-state=ready]")
    page.wait_for_timeout(500)


def sign_in(page: Page, url: str) -> Page:
    page.goto(f"{url}/review/sign-in")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(WORDS)
    page.keyboard.press("Enter")
    page.wait_for_selector("#desk[data-state=ready]")
    page.wait_for_timeout(500)  # for the picture to fade in
    return page


if __name__ == "__main__":
    main()
