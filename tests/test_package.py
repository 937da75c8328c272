"""What importing costs, what may import what, and that public names are what they are said to be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import demure

SOURCE = Path(demure.__file__).parent
FORBIDDEN_IN_CORE = {
    "fastapi",
    "starlette",
    "uvicorn",
    "httpcore2",
    "httpx",
    "sqlalchemy",
    "alembic",
    "sqlite3",
    "pydantic",
    "typer",
    "rich",
    "jinja2",
}


def imported_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {*done.stdout.split()}


def test_importing_demure_loads_no_web_framework_and_no_database():
    assert not imported_by("import demure") & FORBIDDEN_IN_CORE


def test_screening_an_image_loads_none_either():
    example = SOURCE.parent.parent / "examples" / "coffee.jpg"
    loaded = imported_by(f"import demure; demure.screen({str(example)!r})")
    assert not loaded & FORBIDDEN_IN_CORE
    assert {"numpy", "PIL", "onnxruntime"} <= loaded


def test_importing_demure_alone_loads_no_library_at_all():
    assert not imported_by("import demure") & {"numpy", "PIL", "onnxruntime"}


@pytest.mark.parametrize("name", demure.__all__)
def test_a_public_name_is_there_and_documented(name: str):
    assert getattr(demure, name).__doc__


def test_public_names_are_listed():
    assert {*demure.__all__} <= {*dir(demure)}
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        demure.Nope  # noqa: B018


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


MODULES = sorted(SOURCE.rglob("*.py"))


def test_only_the_session_imports_the_runtime():
    assert [p.name for p in MODULES if "onnxruntime" in imports(p)] == ["session.py"]


def test_only_the_settings_and_the_sandbox_read_or_make_an_environment():
    readers = [p for p in MODULES if "os.environ" in p.read_text() or "os.getenv" in p.read_text()]
    # The validators' may not load the service's settings; the session says one thing to the library that it imports.
    assert {str(p.relative_to(SOURCE)) for p in readers} == {"settings.py", "hooks/settings.py", "session.py"}


PURE = {
    "errors": set(),
    "scores": set(),
    "decoding.formats": {"errors"},
    "evaluation.binomial": set(),
    "evaluation.drift": set(),
    "promise": {"evaluation.drift", "errors"},
    "policy": {"promise", "scores"},
    "evaluation.live": {"evaluation.binomial", "policy"},
}


@pytest.mark.parametrize(("module", "allowed"), PURE.items())
def test_a_pure_module_imports_only_what_it_may(module: str, allowed: set[str]):
    names = imports(SOURCE.joinpath(*module.split(".")).with_suffix(".py"))
    inside = {name.removeprefix("demure.") for name in names if name.startswith("demure.")}
    assert {name for name in inside if not any(f"{name}.".startswith(f"{other}.") for other in allowed)} == set()
    assert {name.partition(".")[0] for name in names} - {"demure"} <= sys.stdlib_module_names
