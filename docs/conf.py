"""How Sphinx makes the documentation of this folder: `make site`. The pages load nothing from elsewhere."""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_REPOSITORY = Path(__file__).parent.parent

project = "demure"
project_copyright = "2026 the demure authors"
version = release = re.findall(r'__version__ = "(.+)"', (_REPOSITORY / "src/demure/__init__.py").read_text())[0]
html_title = f"demure {version}"

extensions = ["myst_parser"]
myst_heading_anchors = 4  # the same names as on the repository's own pages
# Plain Markdown begins no line with these, and where one does it is text.
myst_disable_syntax = ["myst_line_comment", "myst_block_break", "myst_target", "myst_role"]
suppress_warnings = ["misc.highlighting_failure"]  # an answer may be shortened by "…", which no lexer knows
nitpicky = True
smartquotes_action = "qe"  # quotes and ellipses; two hyphens are an option of a command
exclude_patterns = ["_build"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = html_logo = "../src/demure/web/static/icon.svg"
html_copy_source = html_show_sourcelink = False
html_use_index = False
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

# Those of src/demure/web/static/review.css: a test compares them.
_LIGHT = {
    "ground": "#f6f7f9",
    "surface": "#ffffff",
    "text": "#1a1d22",
    "muted": "#565e6b",
    "line": "#d5dae2",
    "edge": "#7d8593",
    "accent": "#1b4fae",
}
_DARK = {
    "ground": "#14161a",
    "surface": "#1d2128",
    "text": "#e8eaee",
    "muted": "#a8b0bd",
    "line": "#363c47",
    "edge": "#7b8494",
    "accent": "#9ec1ff",
}
# What Furo calls them.
_ROLES = {
    "color-background-primary": "ground",
    "color-background-secondary": "surface",
    "color-background-hover": "line",
    "color-background-border": "line",
    "color-background-item": "edge",
    "color-foreground-primary": "text",
    "color-foreground-secondary": "muted",
    "color-foreground-muted": "muted",
    "color-foreground-border": "edge",
    "color-brand-primary": "accent",
    "color-brand-content": "accent",
    "color-brand-visited": "accent",
    "color-link-underline": "edge",
    "color-code-background": "surface",
    "color-code-foreground": "text",
    "color-inline-code-background": "surface",
}


def _variables(colours: dict[str, str]) -> dict[str, str]:
    return {role: colours[name] for role, name in _ROLES.items()}


html_theme_options: dict[str, Any] = {
    "light_css_variables": {
        "font-stack": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
        "font-stack--monospace": 'ui-monospace, "Cascadia Mono", Menlo, monospace',
        "code-font-size": "var(--font-size--small)",
        **_variables(_LIGHT),
    },
    "dark_css_variables": _variables(_DARK),
    "top_of_page_buttons": [],
}


class FilesOfTheRepository(SphinxTransform):
    """A link to a document outside this folder (`../SECURITY.md`) leads to a copy of it, as one to any other file does."""

    default_priority = 10

    def apply(self, **_: Any) -> None:
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(addnodes.pending_xref)):
            file = Path(f"{link['reftarget']}.md")
            if link["refdomain"] == "doc" and link["reftarget"] not in self.env.found_docs and file.is_file():
                target = os.path.relpath(file, folder)
                copy = addnodes.download_reference("", "", *link.children, reftarget=target, refdomain=None)
                copy["refdoc"], copy["refexplicit"], copy["reftype"] = self.env.docname, True, "myst"
                link.replace_self(copy)


class FileNames(SphinxTransform):
    """`<!-- file: shop/views.py -->` before a block names the file that the block is: readers of the page must see it too."""

    default_priority = 20

    def apply(self, **_: Any) -> None:
        for comment in list(self.document.findall(nodes.raw)):
            named = re.fullmatch(r"<!-- file: (\S+) -->", comment.astext().strip())
            if named:
                name = nodes.paragraph("", "", nodes.literal(text=named[1]), classes=["file-name"])
                comment.replace_self(name)


def setup(app: Sphinx) -> None:
    app.add_transform(FilesOfTheRepository)
    app.add_transform(FileNames)
