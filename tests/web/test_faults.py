"""What breaks: processes are killed, disks are full, descriptors run out, clocks jump. The service goes on, or says why not."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
from pictures import EXAMPLE, encode, plain
from processes import COMMANDS, alive, answers, descendants, free_port, kill, running, serve
from service import NO_TLS, ImageServer
from tiny_models import FIVE, add_model, tiny_graph
from waiting import wait_until

from demure.keys import make_key

FAKETIME = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    try:
        return subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


own_mounts = pytest.mark.skipif(
    not may_mount(), reason="this system lets nobody make a file system of their own (unshare)"
)
SAFE = encode(plain([0, 255, 0]), "PNG")
PNG = {"content-type": "image/png"}


def judged(port: int, data: bytes = SAFE, **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{port}/v1/moderate"
    return httpx.post(url, content=data, headers={**PNG, **headers}, trust_env=False, verify=NO_TLS, timeout=120)


def decision(port: int, **headers: str) -> str:
    return judged(port, **headers).json()["items"][0]["decision"]


# Stopped and killed.


@pytest.mark.parametrize("command", [COMMANDS["demure-serve"], COMMANDS["gunicorn"]], ids=["demure-serve", "gunicorn"])
def test_a_stop_under_load_answers_every_request_that_was_accepted(command, checkout: Path, images: ImageServer):
    port = free_port()
    url = images.url("/slow.jpg", EXAMPLE.read_bytes())
    images.delay_s = 1.0
    answers: list[int | str] = []

    def ask() -> None:
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/predict", params={"url": url}, trust_env=False, verify=NO_TLS, timeout=120
            )
            answers.append(answer.status_code)
        except httpx.TransportError as error:
            answers.append(repr(error))

    try:
        with running(command(port), port, checkout) as process:
            asked = len(images.asked)
            threads = [threading.Thread(target=ask) for _ in range(12)]
            for thread in threads:
                thread.start()
            wait_until(lambda: len(images.asked) == asked + 12)  # all are accepted and on their way
            process.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join()
    finally:
        images.delay_s = 0.0
    assert answers == [200] * 12
    assert process.returncode == 0


def test_a_worker_that_is_killed_is_replaced_and_leaves_no_decoder(checkout: Path, tiny):
    port = free_port()
    with running(COMMANDS["gunicorn"](port), port, checkout, **tiny) as process:
        assert decision(port) == "safe"
        worker = next(pid for pid in descendants(process.pid) if descendants(pid))
        decoders = descendants(worker)
        kill(worker)
        wait_until(lambda: not any(alive(pid) for pid in decoders))
        wait_until(lambda: answers(port, "/readyz"))
        assert decision(port) == "safe"


def test_decoders_that_are_killed_are_replaced_and_cost_nobody_an_answer(checkout: Path, tiny):
    port = free_port()
    with running(serve(port), port, checkout, **tiny) as process:
        for _ in range(3):
            for decoder in descendants(process.pid):
                kill(decoder)
            assert [decision(port) for _ in range(3)] == ["safe"] * 3


def test_decoders_that_are_killed_over_and_over_under_load_lose_no_request(checkout: Path, tiny):
    port, answers, stop = free_port(), [], threading.Event()
    with running(serve(port), port, checkout, **tiny) as process:

        def ask() -> None:
            while not stop.is_set():
                answers.append(judged(port))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            before = len(answers)
            time.sleep(0.1)
            wait_until(lambda: len(answers) > before)  # noqa: B023  where decoders take longer than that to start
            for decoder in descendants(process.pid):
                kill(decoder)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(answers) >= 20
        assert decision(port) == "safe"
    assert {answer.status_code for answer in answers} == {200}
    items = [answer.json()["items"][0] for answer in answers]
    # At work on it, the decoder is thought to have died of the image: that is never safe, and never lost.
    assert {item["decision"] for item in items} <= {"safe", "unknown"}
    assert {item["reason"] for item in items if item["decision"] == "unknown"} <= {"undecodable", "overloaded"}


# Disks.


def test_a_log_that_cannot_be_written_stops_no_answer(checkout: Path, tiny):
    """/dev/full takes nothing: "no space left on device"."""
    port = free_port()
    command = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *serve(port)]
    with running(command, port, checkout, **tiny):
        assert decision(port) == "safe"
        assert judged(port, b"no image").json()["items"][0]["reason"] == "not_an_image"


def with_a_full_folder(folder: Path, command: list[str]) -> list[str]:
    """Runs it with a full file system of 16 KB in the folder's place, as any user may in a namespace of their own."""
    script = (
        'cp -r "$1" "$1.kept" && mount -t tmpfs -o size=16k none "$1" && cp -r "$1.kept/." "$1" && '
        '{ dd if=/dev/zero of="$1/filler" bs=1k 2>/dev/null; shift; exec "$@"; }'
    )
    return [*OWN_MOUNTS, "sh", "-c", script, "sh", str(folder), *command]


@own_mounts
def test_a_key_that_cannot_be_written_is_one_line_and_the_old_ones_stay(checkout: Path):
    data = checkout / "data"
    data.mkdir()
    (data / "keys.txt").write_text(f"{make_key('old', ['classify'])[0]}\n")
    create = [serve(0)[0], "keys", "create", "new", "--scopes", "classify"]
    then_show = ["sh", "-c", f'"$@"; echo "exit $?"; cat "{data}/keys.txt"', "sh"]
    done = subprocess.run(
        with_a_full_folder(data, [*then_show, *create]),
        env={**os.environ, "DEMURE_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr.startswith("demure: storage_full: "), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "exit 2\n" in done.stdout
    assert done.stdout.count("old:classify:") == 1
    assert "new:" not in done.stdout


@own_mounts
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_folder_for_temporary_files_stops_no_answer(checkout: Path, tiny, workers: str):
    """The counts of several workers are kept in mapped files: on a full disk, whoever writes to one is killed."""
    port, folder = free_port(), checkout / "tmp"
    folder.mkdir()
    command = with_a_full_folder(folder, COMMANDS["gunicorn"](port))
    with running(command, port, checkout, TMPDIR=str(folder), WEB_CONCURRENCY=workers, **tiny) as process:
        assert [decision(port) for _ in range(10)] == ["safe"] * 10
    assert "SIGBUS" not in "".join(process.lines)


# Weights.


def test_damaged_weights_stop_the_start(checkout: Path, models_dir: Path):
    (models_dir / "colour.onnx").write_bytes(b"rot")
    environment = {**os.environ, "DEMURE_MODEL": "colour", "DEMURE_MODELS_DIR": str(models_dir)}
    done = subprocess.run(
        serve(free_port()), env=environment, cwd=checkout, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "damaged_weights" in done.stderr + done.stdout or "SHA-256" in done.stderr


def test_weights_that_are_damaged_while_we_run_cost_their_own_model_alone(checkout: Path, tiny, images: ImageServer):
    port, folder = free_port(), Path(tiny["DEMURE_MODELS_DIR"])
    other = checkout / "models"
    shutil.copytree(folder, other)
    add_model(other, "late", tiny_graph(5), FIVE)
    url = images.url("/i.png", SAFE)
    with running(serve(port), port, checkout, **{**tiny, "DEMURE_MODELS_DIR": str(other)}) as process:
        (other / "late.onnx").write_bytes(b"rot")
        ask = f"http://127.0.0.1:{port}/models/late/predict"
        answer = httpx.post(ask, params={"url": url}, trust_env=False, verify=NO_TLS, timeout=120)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert str(other) not in answer.text
        assert decision(port) == "safe"
    assert "code=damaged_weights" in "".join(process.lines)


# Descriptors.


def test_idle_clients_cannot_take_the_last_file_descriptor(checkout: Path, tiny, images: ImageServer):
    """128 in all: most of them are kept for fetching, decoding and the log."""
    port = free_port()
    command = ["prlimit", "--nofile=128:128", *serve(port)]
    with running(command, port, checkout, **tiny) as process:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        try:
            url = images.url("/i.png", SAFE)
            body = {"items": [{"url": url}]}
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/moderate", json=body, trust_env=False, verify=NO_TLS, timeout=120
            )
            assert answer.json()["items"][0]["decision"] == "safe"
        finally:
            for connection in idle:
                connection.close()
        assert decision(port) == "safe"
    assert "Too many open files" not in "".join(process.lines)


def test_no_descriptor_left_is_an_overload_and_passes(checkout: Path, tiny, images: ImageServer):
    """Taken away from outside, while it runs."""
    port = free_port()
    with running(serve(port), port, checkout, **tiny) as process:
        assert decision(port) == "safe"
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=NO_TLS, timeout=120) as client:
            client.get("/livez")  # its connection stands
            # No number is low enough for a new one, whatever is closed meanwhile.
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (0, before[1]))
            answer = client.post("/predict", params={"url": images.url("/i.png", SAFE)})
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert client.get("/livez").status_code == 200
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
            assert client.post("/predict", params={"url": images.url("/i.png", SAFE)}).status_code == 200


# Clocks.


@pytest.mark.skipif(not FAKETIME, reason="needs libfaketime (Debian: faketime)")
@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a_wall_clock_that_jumps_disturbs_no_request_and_no_limit(checkout: Path, tiny, images: ImageServer, jump: str):
    port, clock = free_port(), checkout / "clock"
    clock.write_text("+0")
    key, secret = make_key("site", ["classify"])
    variables = {
        "LD_PRELOAD": str(*FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "DEMURE_API_KEYS": str(key),
        "DEMURE_RATE_LIMIT": "3/5second",
    }
    authorization = f"Bearer {secret}"
    with running(serve(port), port, checkout, **tiny, **variables) as process:
        answers: list[str] = []
        url = images.url("/i.png", SAFE)
        ask = threading.Thread(target=lambda: answers.append(predicted(port, url, authorization)))
        asked = len(images.asked)
        with images.holding():
            ask.start()
            wait_until(lambda: len(images.asked) > asked)
            clock.write_text(jump)
        ask.join()
        assert answers == ["200"]  # it was under way when the clock jumped
        wait_until(lambda: judged(port, authorization=authorization).status_code == 429)  # a limit it is still
        wait_until(lambda: judged(port, authorization=authorization).status_code == 200)  # and not for a day
    seen = re.findall(r"timestamp=(\S+)T", "".join(process.lines))
    assert len({*seen}) >= 2  # the clock did jump


def predicted(port: int, url: str, authorization: str) -> str:
    headers = {"authorization": authorization}
    ask = f"http://127.0.0.1:{port}/predict"
    return str(
        httpx.post(ask, params={"url": url}, headers=headers, trust_env=False, verify=NO_TLS, timeout=120).status_code
    )
