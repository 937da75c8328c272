"""The whole way of an image that the machine cannot tell: in over HTTP, judged in a browser, told to the site, and known."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from pictures import EXAMPLE, encode
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from processes import free_port, running, serve
from standardwebhooks import Webhook
from waiting import wait_until
from windows import DESK, Window

from demure.keys import make_key

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Site:
    """The site's own endpoint: what came there, once its signature held."""

    port: int = 0
    told: list[dict] = field(default_factory=list)

    def wait_for(self, count: int) -> dict:
        wait_until(lambda: len(self.told) >= count, lambda: f"{len(self.told)} webhooks came")
        return self.told[count - 1]


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            site.told.append(Webhook(SECRET).verify(body, {k.lower(): v for k, v in self.headers.items()}))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Service:
    url: str
    key: str
    set_up: str  # the link that the log shows

    def moderate(self, data: bytes, **more: object) -> dict:
        item = {"base64": base64.b64encode(data).decode(), **more}
        body = {"items": [item], "review": True}
        headers = {"authorization": f"Bearer {self.key}"}
        answer = httpx.post(f"{self.url}/v1/moderate", json=body, headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"][0]


@pytest.fixture
def service(tiny, site: Site, tmp_path: Path) -> Iterator[Service]:
    """A process with a database that is new, as after an install."""
    key, secret = make_key("site", ["classify"])
    port = free_port()
    webhook = {
        "DEMURE_WEBHOOK_URLS": f"http://127.0.0.1:{site.port}/hook",
        "DEMURE_WEBHOOK_SECRETS": SECRET,
        "DEMURE_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "DEMURE_WEBHOOK_PORTS": str(site.port),
    }
    with running(serve(port), port, tmp_path, DEMURE_API_KEYS=str(key), **tiny, **webhook) as process:
        (link,) = re.findall(r"http://\S+/review/set-up\?token=[\w-]+", "".join(process.lines))
        yield Service(f"http://127.0.0.1:{port}", secret, link)


@pytest.fixture
def page(chromium: Browser, service: Service) -> Iterator[Page]:
    """In a window that asks nobody but the service."""
    with Window(chromium.new_context(**DESK), f"{service.url}/") as window:
        yield window.page
        assert window.asked


def sign_up(page: Page, link: str) -> None:
    """By the link of the first start, and then with the password that was chosen."""
    page.goto(link)
    for label in page.locator("input[type=password]").all():
        label.fill("a password of some length")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in*")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("a password of some length")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review")


def test_an_image_is_unknown_judged_by_a_person_told_to_the_site_and_known_from_then_on(service, site, page):
    photo = Image.open(EXAMPLE).convert("RGB")
    tinted = Image.blend(photo, Image.new("RGB", photo.size, "blue"), 0.5)
    picture = encode(tinted, "PNG")
    item = service.moderate(picture, id="post-7", subject="user-3", metadata={"board": "cats"})
    assert (item["decision"], item["review"]["state"]) == ("unknown", "open")

    sign_up(page, service.set_up)
    expect(page.locator("#desk")).to_have_attribute("data-state", "ready")
    shown = page.locator(".picture").first
    covered = shown.evaluate("node => getComputedStyle(node).filter")
    assert "blur" in covered
    page.keyboard.down("Space")
    expect(shown).not_to_have_css("filter", covered)
    page.keyboard.up("Space")
    assert "uncertain" not in page.content()
    page.keyboard.press("a")
    expect(page.locator("main")).to_contain_text("uncertain")  # what the machine had thought, now

    told = site.wait_for(1)
    assert told["type"] == "review.settled"
    data = told["data"]
    assert (data["verdict"], data["by"], data["sha256"]) == ("adult", "user:admin", item["sha256"])
    assert data["submissions"] == [{"id": "post-7", "subject": "user-3", "metadata": {"board": "cats"}}]

    again = service.moderate(picture)
    assert (again["decision"], again["reason"], again["remembered"]) == ("adult", "remembered", True)
    assert "decode" not in again["timings_ms"]
    buffer = io.BytesIO()
    tinted.resize((tinted.width * 2 // 3, tinted.height * 2 // 3)).save(buffer, "JPEG", quality=70)
    copy = service.moderate(buffer.getvalue())
    assert (copy["decision"], copy["reason"], copy["remembered"]) == ("adult", "near_copy", True)
    other = service.moderate(encode(tinted.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "PNG"))
    assert (other["decision"], other["reason"], other["remembered"]) == ("unknown", "uncertain", False)
