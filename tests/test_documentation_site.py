"""`make site`: the pages of docs/ as a site, without a broken reference, and without anything from elsewhere."""

from __future__ import annotations

import contextlib
import functools
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from windows import SIZES, Window

ROOT = Path(__file__).parent.parent
PAGES = sorted(page.stem for page in (ROOT / "docs").glob("*.md"))


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make site` does, but for the folder."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", str(docs), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the pages as they are."""
    out = tmp_path_factory.mktemp("site") / "out"
    done = build(ROOT / "docs", out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


def write(folder: Path, pages: Mapping[str, str]) -> Path:
    """A site of these pages with the real set-up, in a folder that looks like the repository."""
    for name in ("src", "SECURITY.md", "LICENSE"):
        (folder / name).symlink_to(ROOT / name)
    docs = folder / "docs"
    shutil.copytree(ROOT / "docs" / "_static", docs / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", docs)
    for name, text in pages.items():
        (docs / f"{name}.md").write_text(f"# {name}\n\n## A heading\n\n{text}\n")
    return docs


def toctree(names: Iterable[str]) -> str:
    return "\n".join(["```{toctree}", *names, "```"])


GOOD = """[a](other.md) [b](other.md#a-heading) [c](#a-heading) [d](../SECURITY.md) [e](../LICENSE) [f](https://example.org)

One line
% of two, (three)=, {four}`five`

+++

An option is --six.

<!-- file: shop/views.py -->
```python
ANSWER = 42
```
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    done = build(write(folder, {"index": toctree(["other", "page"]), "other": "", "page": GOOD}), folder / "out")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out"


BROKEN = {
    "a-page-that-is-not-there": "[a](another.md)",
    "a-heading-that-another-page-has-not": "[a](index.md#no-heading)",
    "a-heading-that-this-page-has-not": "[a](#there)",
    "a-document-of-the-repository-that-is-not-there": "[a](../NOTHING.md)",
    "a-file-of-the-repository-that-is-not-there": "[a](../src/nothing.toml)",
    "a-picture-that-is-not-there": "![a](images/nothing.png)",
}
LOST = "a-page-that-is-in-no-list"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is told of a site where each page has one fault."""
    folder = tmp_path_factory.mktemp("broken")
    done = build(write(folder, {"index": toctree(BROKEN), **BROKEN, LOST: ""}), folder / "out")
    assert done.returncode != 0
    return done.stderr.splitlines()


def test_every_page_is_in_the_site(site: Path):
    assert len(PAGES) >= 10
    assert {*PAGES} <= {page.stem for page in site.glob("*.html")}


@pytest.mark.parametrize("name", [*BROKEN, LOST])
def test_what_leads_nowhere_is_told_once(broken: list[str], name: str):
    assert len([line for line in broken if f"/{name}.md:" in line and "WARNING" in line]) == 1


def test_nothing_else_is_told(broken: list[str]):
    assert len([line for line in broken if "WARNING" in line]) == len(BROKEN) + 1


def test_one_fault_alone_fails(tmp_path: Path):
    docs = write(tmp_path, {"index": BROKEN["a-heading-that-this-page-has-not"]})
    assert build(docs, tmp_path / "out").returncode != 0


def test_a_link_to_a_file_of_the_repository_leads_to_a_copy(good: Path):
    assert sorted(copy.name for copy in (good / "_downloads").glob("*/*")) == ["LICENSE", "SECURITY.md"]


@pytest.mark.parametrize("text", ["% of two", "(three)=", "{four}", "+++", "--six"])
def test_plain_text_that_looks_like_an_extension_of_markdown_stays_text(good: Path, text: str):
    assert text in (good / "page.html").read_text()


def test_the_name_of_the_file_that_a_block_is_can_be_read(good: Path):
    name = r'class="file-name"><code[^>]*><span class="pre">shop/views.py'
    assert re.search(name, (good / "page.html").read_text())


class Loaded(HTMLParser):
    """What a page loads by itself. A link (`a`) is followed by people, and may lead anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster", "action", *(("href",) if tag in ("link", "use", "image") else ()))
        self.addresses += [value or "" for name, value in attrs if name in names]


def test_no_page_loads_anything_from_elsewhere(site: Path):
    pages, elsewhere = list(site.glob("**/*.html")), re.compile(r"\s*(\w+:)?//", re.ASCII)
    assert len(pages) > len(PAGES)
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert len(loaded.addresses) >= 5
        assert not [address for address in loaded.addresses if elsewhere.match(address)], page.name


def test_no_style_loads_anything_from_elsewhere(site: Path):
    styles = [*site.glob("_static/**/*.css")]
    assert len(styles) >= 3
    for style in [*styles, *site.glob("*.html")]:
        found = re.findall(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^)'\"]+)", style.read_text())
        assert not found, style.name


def colours_of(sheets: str, selector: str) -> dict[str, str]:
    blocks = re.findall(rf"^{re.escape(selector)} \{{(.+?)^\}}", sheets, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"--(\w+): (#\w+);", " ".join(blocks)))


@pytest.mark.parametrize(("scheme", "selector"), [("_DARK", ":root"), ("_LIGHT", ":root.light")])
def test_the_colours_are_those_of_the_service(scheme: str, selector: str):
    ours = runpy.run_path(str(ROOT / "docs/conf.py"))[scheme]
    sheets = "\n".join(sheet.read_text() for sheet in (ROOT / "src/demure/web/static").glob("*.css"))
    assert ours.items() <= colours_of(sheets, selector).items()


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class SiteWindow(Window):
    """When it is closed it fails for what a page asked for elsewhere, and for whatever it said on the console."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        super().__init__(context, (f"{address}/", "data:"))
        self._address = address

    def open(self, name: str) -> None:
        self.page.goto(f"{self._address}/{name}.html", wait_until="load")


@pytest.fixture
def window(chromium: Browser, address: str) -> Iterator[Callable[..., SiteWindow]]:
    with contextlib.ExitStack() as stack:

        def open_window(size: str = "desktop", scheme: str = "light") -> SiteWindow:
            context = chromium.new_context(viewport=SIZES[size]["viewport"], color_scheme=scheme)
            return stack.enter_context(SiteWindow(context, address))

        yield open_window


@pytest.mark.parametrize(
    ("name", "screen", "scheme"),
    [
        ("index", "desktop", "light"),
        ("index", "desktop", "dark"),
        ("index", "phone", "light"),
        ("index", "phone", "dark"),
        ("start", "desktop", "light"),  # code
        ("models", "phone", "dark"),  # tables
    ],
)
def test_nothing_serious_stands_in_the_way_of_a_screen_reader(window, axe: str, name: str, screen: str, scheme: str):
    eyes = window(screen, scheme)
    eyes.open(name)
    assert [fault for fault in eyes.faults(axe) if fault.endswith(("(serious)", "(critical)"))] == []


def test_every_page_fits_a_phone_and_asks_nobody_else(window):
    eyes = window("phone")
    for name in PAGES:
        eyes.open(name)
        assert eyes.overflow <= 0, name
    eyes.close()  # judges what the pages asked for and said


def test_a_wide_table_scrolls_by_itself_and_can_be_reached_by_keyboard(window):
    eyes = window("phone")
    eyes.open("performance")
    wide = eyes.page.evaluate(
        "[...document.querySelectorAll('.table-wrapper')].filter(t => t.scrollWidth > t.clientWidth).map(t => t.tabIndex)"
    )
    assert len(wide) >= 4
    assert {*wide} == {0}


def test_the_search_finds_a_word_without_asking_anybody_else(window):
    eyes = window()
    eyes.open("index")
    eyes.page.fill("input.sidebar-search", "overloaded")
    eyes.page.press("input.sidebar-search", "Enter")
    found = eyes.page.locator("#search-results li a[href^='api.html']")
    expect(found.first).to_be_visible()  # waits: one result comes after the other
    eyes.close()
