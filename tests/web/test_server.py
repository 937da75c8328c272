"""The service as processes: `demure serve`, `gunicorn app:app`, several workers, and what a signal does to them."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from pictures import EXAMPLE
from processes import COMMANDS, alive, descendants, free_port, running, serve
from service import NO_TLS, ImageServer
from waiting import wait_until

from demure.keys import make_key

IPV6 = Path("/proc/net/if_inet6")  # proc_net(5): a line for each address


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_picture_is_judged_and_a_signal_ends_all(command, checkout: Path, images: ImageServer):
    port = free_port()
    url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
    with running(command(port), port, checkout) as process:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/predict", params={"url": url}, trust_env=False, verify=NO_TLS, timeout=120
        )
        assert answer.json()["neutral"] > 0.9
        family = descendants(process.pid)
        assert family  # the decoders at least
    assert process.returncode == 0
    assert not [pid for pid in family if alive(pid)]


def test_metrics_of_several_workers_are_added_up(checkout: Path, tiny: dict[str, str], images: ImageServer):
    port = free_port()
    key, secret = make_key("prometheus", ["metrics", "classify"])
    headers = {"authorization": f"Bearer {secret}"}
    variables = {**tiny, "WEB_CONCURRENCY": "2", "DEMURE_THREADS": "1", "DEMURE_API_KEYS": str(key)}
    url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
    with running(COMMANDS["gunicorn"](port), port, checkout, **variables):

        def figures() -> str:
            return httpx.get(
                f"http://127.0.0.1:{port}/metrics", headers=headers, trust_env=False, verify=NO_TLS, timeout=120
            ).text

        both = "demure_images_capacity 66.0"  # (1 at work + 32 waiting) of each worker
        wait_until(lambda: both in figures(), figures)  # the first answers before the second has started
        for _ in range(40):  # a connection each, so that both workers get some
            answer = httpx.post(
                f"http://127.0.0.1:{port}/predict?url={url}",
                headers=headers,
                trust_env=False,
                verify=NO_TLS,
                timeout=120,
            )
            assert answer.status_code == 200
        all_of_them = 'demure_requests_total{route="/predict",status="200"} 40.0'
        wait_until(lambda: all_of_them in figures(), figures)  # a request is counted when its answer is out
        assert 'demure_stage_seconds_count{stage="decode"} 40.0' in figures()


def test_a_folder_for_metrics_that_is_the_operators_is_left_alone(checkout: Path, tiny: dict[str, str], tmp_path: Path):
    port, folder = free_port(), tmp_path / "mine"
    folder.mkdir()
    (folder / "precious").write_text("x")
    with running(COMMANDS["gunicorn"](port), port, checkout, PROMETHEUS_MULTIPROC_DIR=str(folder), **tiny):
        pass
    assert (folder / "precious").read_text() == "x"


def test_an_unusable_setting_stops_the_start_with_one_line(checkout: Path):
    environment = {**os.environ, "DEMURE_POLICY": "nope"}
    done = subprocess.run(
        serve(free_port()), env=environment, cwd=checkout, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("demure: unknown_policy: no policy 'nope'")


def test_a_port_that_is_taken_is_told_before_anything_is_made(checkout: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        environment = {**os.environ, "DEMURE_DATA_DIR": str(checkout / "data")}
        done = subprocess.run(
            serve(port), env=environment, cwd=checkout, capture_output=True, text=True, timeout=120, check=False
        )
    expected = f"port {port} of 127.0.0.1 is taken: stop what listens there, or choose another by --port"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"demure: invalid_setting: {expected}\n"
    assert not (checkout / "data").exists()


@pytest.mark.skipif(
    not (IPV6.exists() and IPV6.read_text()), reason="this system has no IPv6 address, not even of its own"
)
def test_a_port_that_is_taken_in_ipv4_is_free_in_ipv6(checkout: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = [*serve(other.getsockname()[1]), "--host", "::"]
        environment = {**os.environ, "DEMURE_DATA_DIR": str(checkout / "data")}
        with subprocess.Popen(
            command, env=environment, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "Uvicorn running on" in line:
                    break
            process.terminate()
    assert "Uvicorn running on" in lines[-1], lines


def test_the_log_tells_host_and_hash_and_no_query_string(checkout: Path, images: ImageServer):
    port = free_port()
    url = images.url("/coffee.jpg?token=hunter2", EXAMPLE.read_bytes())
    with running(serve(port), port, checkout) as process:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/moderate",
            json={"items": [{"url": url}]},
            trust_env=False,
            verify=NO_TLS,
            timeout=120,
        )
        sha256 = answer.json()["items"][0]["sha256"]
        httpx.post(
            f"http://127.0.0.1:{port}/predict",
            params={"url": url},
            headers={"x-request-id": "r-7"},
            trust_env=False,
            verify=NO_TLS,
            timeout=120,
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
