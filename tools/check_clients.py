"""Makes clients of the service's OpenAPI document with two generators, and compiles them with a small use of each.

`make clients` runs it. Exit 1 if a generator leaves a piece out, or a compiler finds fault.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from demure.settings import read_settings
from demure.web.app import create_app

CLIENTS = Path(__file__).parent / "clients"
GENERATORS = Path(__file__).parent.parent / ".venv-clients/bin"  # requirements/clients.txt


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="demure-clients-") as name:
        folder = Path(name)
        document = folder / "openapi.json"
        write_document(document, folder)
        results = {"TypeScript": check_typescript(document, folder), "Python": check_python(document, folder)}
    for language, fine in results.items():
        print(f"{language}: {'compiles' if fine else 'FAILED'}")
    return 0 if all(results.values()) else 1


def write_document(path: Path, folder: Path) -> None:
    app = create_app(read_settings({"DEMURE_DATA_DIR": str(folder / "data")}))
    path.write_text(json.dumps(app.openapi()))
    app.state.accounts.close()
    app.state.desk.close()


def check_typescript(document: Path, folder: Path) -> bool:
    """openapi-typescript's types, and use.ts over them, by tsc --strict."""
    if not (CLIENTS / "node_modules").is_dir():
        done = run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=CLIENTS)
        if not done:
            return False
    programs = CLIENTS / "node_modules/.bin"
    shutil.copy(CLIENTS / "use.ts", folder)
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    return run(programs / "openapi-typescript", document, "-o", folder / "demure.ts") and run(
        programs / "tsc", *options, folder / "use.ts"
    )


def check_python(document: Path, folder: Path) -> bool:
    """openapi-python-client's package without a warning, compiled, and use.py over it, by mypy --strict and by an import."""
    made = folder / "python"
    wanted = ["--path", document, "--output-path", made, "--config", CLIENTS / "python.yaml", "--fail-on-warning"]
    if not run(GENERATORS / "openapi-python-client", "generate", *wanted):
        return False
    shutil.copy(CLIENTS / "use.py", made)
    return (
        bool(compileall.compile_dir(made, quiet=1))
        and run(GENERATORS / "mypy", "--strict", "--no-incremental", "use.py", cwd=made)
        and run(GENERATORS / "python", "-c", "import use", cwd=made)
    )


def run(program: Path | str, *arguments: Path | str, cwd: Path | None = None) -> bool:
    """Whether it ended well; what it said goes to standard error."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([program, *arguments], cwd=cwd, env=environment, stdout=sys.stderr, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
