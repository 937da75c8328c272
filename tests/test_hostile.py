"""Every file of tests/hostile through the service, over HTTP; every truncation through a sandbox.

The service runs as a process of its own, so that what it and its decoders take can be read off /proc.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hostile import FORMATS, HOSTILE, LIMITS, small_files, truncations
from hostile.jpeg import scan_bomb
from pictures import encode, gradient
from processes import descendants, free_port, kill, running, serve
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph
from waiting import wait_until

from demure.decode import MIB, DecodeLimits
from demure.errors import DemureError, Undecodable
from demure.inputs import Inputs, Recipe
from demure.keys import make_key
from demure.preprocess import Resize
from demure.sandbox import Sandbox

GOOD = encode(gradient(64, 64), "PNG")
DECODER_BYTES = 512 * MIB  # of address space
GROWTH_BYTES = 200 * MIB  # of the service: a body of 20 MiB some times over, and what the allocator keeps
RECIPE = Recipe({"plain": (Resize(24, 16, antialias=False),)}, limits=LIMITS)


class Service:
    """`demure serve` with one decoder, so that whoever comes next meets what the last one left."""

    def __init__(self, client: httpx.Client, pid: int) -> None:
        self._client, self._pid = client, pid
        for _ in range(20):
            self.check(GOOD)
        self._at_rest = memory_bytes(pid, "VmRSS")

    def send(self, data: bytes) -> httpx.Response:
        return self._client.post("/v1/moderate", content=data, headers={"content-type": "image/png"})

    def check(self, data: bytes) -> dict:
        """The one item of the answer, which is no error of the whole request."""
        answer = self.send(data)
        assert answer.status_code == 200, answer.text
        (item,) = answer.json()["items"]
        return item

    def growth_bytes(self) -> int:
        return memory_bytes(self._pid, "VmHWM") - self._at_rest

    def lost_decoders(self) -> float:
        lines = self._client.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("demure_sandbox_restarts_total "))

    def decoders(self) -> set[int]:
        return decoders_of(self._pid)


def decoders_of(pid: int) -> set[int]:
    """Its children that run demure.sandbox_child."""
    return {child for child in descendants(pid) if is_decoder(child)}


def is_decoder(pid: int) -> bool:
    try:
        return b"demure.sandbox_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return False


def memory_bytes(pid: int, field: str) -> int:
    """A line of /proc/<pid>/status, in KiB there: VmPeak is the largest address space, VmHWM the most that was in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder, port = tmp_path_factory.mktemp("hostile"), free_port()
    key, secret = make_key("hostile", ["metrics", "classify"])
    for name in ("models", "policies"):
        (folder / name).mkdir()
    add_model(folder / "models", "colour", tiny_graph(5), FIVE)
    add_model(folder / "models", "redness", tiny_graph(2), WITNESS)
    (folder / "policies" / "colours.toml").write_text(RULES)
    variables = {
        "DEMURE_API_KEYS": str(key),
        "DEMURE_MODELS_DIR": str(folder / "models"),
        "DEMURE_POLICIES_DIR": str(folder / "policies"),
        "DEMURE_MODEL": "colour",
        "DEMURE_POLICY": "colours",
        "DEMURE_THREADS": "1",
        "DEMURE_RATE_LIMIT": "1000000/minute",
        "DEMURE_MAX_PIXELS": str(LIMITS.max_pixels),
        "DEMURE_MAX_TOTAL_PIXELS": str(LIMITS.max_total_pixels),
        "DEMURE_DECODER_MEMORY_BYTES": str(DECODER_BYTES),
        "DEMURE_DECODE_TIMEOUT_S": "20",  # no row may end by the clock
    }
    with (
        running(serve(port), port, folder, **variables) as process,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {secret}"},
            timeout=120,
            trust_env=False,
        ) as client,
    ):
        yield Service(client, process.pid)


@pytest.mark.parametrize("name", [name for name, file in HOSTILE.items() if "too_large" not in file.ends])
def test_a_hostile_file_ends_classified_or_in_its_code_and_the_next_is_served(service: Service, name: str):
    lost = service.lost_decoders()
    item = service.check(HOSTILE[name].build())
    end = item["error"]["code"] if "error" in item else "classified"
    assert end in HOSTILE[name].ends
    if end == "classified":
        assert sum(item["scores"].values()) == pytest.approx(1)
        assert 1 <= item["media"]["sampled"] <= item["media"]["frames"]
        assert item["media"]["width"] * item["media"]["height"] <= LIMITS.max_pixels
    else:
        assert (item["decision"], item["reason"], item["scores"]) == ("unknown", end, None)

    good = service.check(GOOD)
    assert "error" not in good
    assert (good["media"]["width"], good["media"]["height"]) == (64, 64)
    assert service.lost_decoders() == lost
    (decoder,) = service.decoders()
    assert memory_bytes(decoder, "VmPeak") <= DECODER_BYTES
    assert service.growth_bytes() <= GROWTH_BYTES


def test_a_file_past_the_limit_of_bytes_is_refused_as_a_whole(service: Service):
    answer = service.send(HOSTILE["past-the-limit-of-bytes"].build())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "error" not in service.check(GOOD)


def test_the_table_is_long_and_every_format_has_a_file_of_no_size_and_one_of_a_huge_size():
    assert len(HOSTILE) >= 240
    assert len(HOSTILE) == sum(len(rows) for rows in FORMATS.values())  # no name twice
    for name, rows in FORMATS.items():
        if name != "others":
            assert any(row.startswith(f"{name}-zero") for row in rows), name
            assert any(row.startswith(f"{name}-huge") for row in rows), name


# --- Truncations ------------------------------------------------------------------------------------------------------

CUT_ENDS = {"empty_body", "not_an_image", "unsupported_format", "undecodable"}


def end_of(sandbox: Sandbox, data: bytes) -> Inputs | str:
    try:
        return sandbox.prepare(data, RECIPE)
    except DemureError as error:
        return error.code


def shows_all(end: Inputs, whole: Inputs) -> bool:
    """The pages of a TIFF are pictures of their own: those that are cut off are nowhere."""
    return end.rows == (whole.rows[: len(end.rows)] if end.media.type == "image/tiff" else whole.rows)


def test_a_file_that_is_cut_anywhere_ends_in_its_code_or_shows_the_whole_picture():
    """A file whose last bytes are not pixels may be classified without them; then nothing of the picture is missing."""
    cuts = dict(truncations())
    with Sandbox(2) as sandbox, ThreadPoolExecutor(2) as pool:
        whole = {name: sandbox.prepare(data, RECIPE) for name, data in small_files().items()}
        ends = dict(zip(cuts, pool.map(lambda data: end_of(sandbox, data), cuts.values()), strict=True))
        assert sandbox.restarts == 0
    assert len(ends) >= 2_000
    wrong = {}
    for name, end in ends.items():
        right = end in CUT_ENDS if isinstance(end, str) else shows_all(end, whole[name.rpartition("-cut-at-")[0]])
        if not right:
            wrong[name] = end
    assert not wrong


# --- A bomb beside good pictures --------------------------------------------------------------------------------------


def test_while_a_bomb_keeps_one_decoder_busy_the_other_answers():
    """The bomb is a real one: 100 scans over 49 megapixels, both just within the limits."""
    bomb, patient, of_others = scan_bomb(100, 7_000, 7_000), within(600), decoders_of(os.getpid())
    with Sandbox(2) as sandbox, ThreadPoolExecutor(1) as pool:
        sandbox.start()
        explosion = pool.submit(sandbox.prepare, bomb, patient)
        wait_until(lambda: sandbox._at_work)
        answers = [sandbox.prepare(GOOD, patient) for _ in range(20)]
        assert not explosion.done()
        (idle,) = sandbox._idle
        (at_work,) = decoders_of(os.getpid()) - of_others - {idle.process.pid}
        kill(at_work)  # rather than wait for all of its scans
        with pytest.raises(Undecodable, match="broke its decoder"):
            explosion.result()
        with pytest.raises(Undecodable, match=r"took longer than 1\.5 s"):
            sandbox.prepare(bomb, within(1.5))
        assert sandbox.restarts == 2
        assert sandbox.prepare(GOOD, patient) == answers[0]
    assert all(answer == answers[0] for answer in answers)


def within(timeout_s: float) -> Recipe:
    return Recipe(RECIPE.steps, limits=DecodeLimits(timeout_s=timeout_s))
