"""The service as processes: `demure serve`, `gunicorn app:app`, several workers, and what a signal does to them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pictures import EXAMPLE
from service import LOOPBACK, ImageServer

from demure.keys import make_key

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DEMURE_", "PROMETHEUS_"))}
    environment = {**kept, **LOOPBACK, "DEMURE_DATA_DIR": str(cwd / "data"), "PORT": str(port), **variables}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(line.decode() for line in process.stderr), daemon=True)
        reader.start()
        process.lines = lines
        try:
            wait_until_healthy(port, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(timeout=5)


def wait_until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError("".join(process.lines))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a platform has: the repository's files, its requirements installed, and the package itself not."""
    for name in ("app.py", "gunicorn.conf.py", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def serve(port: int) -> list[str]:
    return [str(BIN / "demure"), "serve", "--port", str(port)]


COMMANDS = {
    "demure-serve": serve,
    "gunicorn": lambda port: [str(BIN / "gunicorn"), "app:app"],
    "the-original-command": lambda port: [str(BIN / "gunicorn"), "--worker-tmp-dir", "/dev/shm", "app:app"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_picture_is_judged_and_a_signal_ends_all(command, checkout: Path, images: ImageServer):
    port = free_port()
    url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
    with running(command(port), port, checkout) as process:
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", params={"url": url}, trust_env=False, timeout=30)
        assert answer.json()["neutral"] > 0.9
        family = descendants(process.pid)
        assert family  # the decoders at least
    assert process.returncode == 0
    assert not [pid for pid in family if alive(pid)]


def descendants(pid: int) -> list[int]:
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("command", [COMMANDS["demure-serve"], COMMANDS["gunicorn"]], ids=["demure-serve", "gunicorn"])
def test_a_stop_under_load_answers_every_request_that_was_accepted(command, checkout: Path, images: ImageServer):
    port = free_port()
    url = images.url("/slow.jpg", EXAMPLE.read_bytes())
    images.delay_s = 1.0
    answers: list[int | str] = []

    def ask() -> None:
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/predict", params={"url": url}, trust_env=False, timeout=40)
            answers.append(answer.status_code)
        except httpx.TransportError as error:
            answers.append(repr(error))

    try:
        with running(command(port), port, checkout) as process:
            asked = len(images.asked)
            threads = [threading.Thread(target=ask) for _ in range(12)]
            for thread in threads:
                thread.start()
            while len(images.asked) < asked + 12:  # all are accepted and on their way
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join()
    finally:
        images.delay_s = 0.0
    assert answers == [200] * 12
    assert process.returncode == 0


def test_metrics_of_several_workers_are_added_up(checkout: Path, images: ImageServer):
    port = free_port()
    key, secret = make_key("prometheus", ["metrics", "classify"])
    headers = {"authorization": f"Bearer {secret}"}
    variables = {"WEB_CONCURRENCY": "2", "DEMURE_THREADS": "1", "DEMURE_API_KEYS": str(key)}
    url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
    with running(COMMANDS["gunicorn"](port), port, checkout, **variables) as process:
        workers = set()
        for _ in range(40):  # a connection each, so that both workers get some
            answer = httpx.post(
                f"http://127.0.0.1:{port}/predict?url={url}", headers=headers, trust_env=False, timeout=30
            )
            assert answer.status_code == 200
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=headers, trust_env=False).text
        workers = {line.split()[2] for line in process.lines if "Booting worker" in line}
    assert re.search(r'demure_requests_total\{route="/predict",status="200"\} 40\.0', text)
    assert re.search(r'demure_stage_seconds_count\{stage="decode"\} 40\.0', text)
    assert re.search(r"demure_images_capacity 66\.0", text)  # (1 at work + 32 waiting) of each worker
    assert workers


def test_a_folder_for_metrics_that_is_the_operators_is_left_alone(checkout: Path, tmp_path: Path):
    port, folder = free_port(), tmp_path / "mine"
    folder.mkdir()
    (folder / "precious").write_text("x")
    with running(COMMANDS["gunicorn"](port), port, checkout, PROMETHEUS_MULTIPROC_DIR=str(folder)):
        pass
    assert (folder / "precious").read_text() == "x"


def test_an_unusable_setting_stops_the_start_with_one_line(checkout: Path):
    environment = {**os.environ, "DEMURE_POLICY": "nope"}
    done = subprocess.run(
        serve(free_port()), env=environment, cwd=checkout, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("demure: unknown_policy: no policy 'nope'")


def test_damaged_weights_stop_the_start(checkout: Path, models_dir: Path):
    (models_dir / "colour.onnx").write_bytes(b"rot")
    environment = {**os.environ, "DEMURE_MODEL": "colour", "DEMURE_MODELS_DIR": str(models_dir)}
    done = subprocess.run(
        serve(free_port()), env=environment, cwd=checkout, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "damaged_weights" in done.stderr + done.stdout or "SHA-256" in done.stderr


def test_the_log_tells_host_and_hash_and_no_query_string(checkout: Path, images: ImageServer):
    port = free_port()
    url = images.url("/coffee.jpg?token=hunter2", EXAMPLE.read_bytes())
    with running(serve(port), port, checkout) as process:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/moderate", json={"items": [{"url": url}]}, trust_env=False, timeout=30
        )
        sha256 = answer.json()["items"][0]["sha256"]
        httpx.post(
            f"http://127.0.0.1:{port}/predict",
            params={"url": url},
            headers={"x-request-id": "r-7"},
            trust_env=False,
            timeout=30,
        )
    log = "".join(process.lines)
    (line,) = [line for line in process.lines if "event=screened" in line]
    for part in (
        "decision=safe",
        'reason="risk <= 0.25 and open_nsfw <= 0.2"',
        "host=127.0.0.1",
        f"sha256={sha256}",
        "status=200",
    ):
        assert part in line, part
    assert "request_id=r-7" in log
    assert "hunter2" not in log
    assert "coffee" not in log
