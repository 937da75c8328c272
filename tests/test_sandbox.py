"""The sandbox is tried by decoders that loop, allocate, crash and lie (tests/decoders.py)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from decoders import ATTEMPTS
from hostile.png import chunk
from pictures import EXAMPLE, animation, encode, gradient, noise
from profiles import INVERTING, SWAPPED

from demure.decode import MIB, DecodeLimits
from demure.errors import InvalidSetting, NotAnImage, Overloaded, TooManyFrames, TooManyPixels, Undecodable
from demure.inputs import Inputs, Recipe, prepare
from demure.preprocess import Crop, Fidelity, Fit, Jpeg, Luma, Resize
from demure.sandbox import Sandbox, SandboxLimits, _Child, find_python
from demure.sandbox_child import format_recipe, parse_recipe

STEPS = {"plain": (Resize(24, 16, antialias=False),)}
RECIPE = Recipe(STEPS)
# Long enough for a loaded machine to fail a good decoder seldom, short enough to wait for.
SHORT = Recipe(STEPS, limits=DecodeLimits(timeout_s=1.0))
PICTURE = encode(gradient(96, 64), "PNG")


def alive(pid: int) -> bool:
    """Whether the process runs: one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(sandbox: Sandbox) -> list[int]:
    return [child.process.pid for child in sandbox._idle]


def unread_bytes(connection: socket.socket) -> int:
    """What the other side has not read yet, and what the kernel needs to keep it."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


RECIPES = {
    "fast": RECIPE,
    "reference": Recipe(STEPS, Fidelity.REFERENCE),
    "several-models": Recipe({**STEPS, "cropped": (Resize(40, 30, antialias=True), Crop(20, 10), Jpeg(75))}),
    "luma": Recipe({**STEPS, "luma": (Luma(64),)}),
    "luma-reference": Recipe({**STEPS, "luma": (Luma(64),)}, Fidelity.REFERENCE),
    "previews": Recipe({"worst": (Fit(64),), "strip": (Fit(20),)}, only={"worst": 1}),
}
FILES = {
    "png": PICTURE,
    "jpeg": EXAMPLE.read_bytes(),
    "animation": animation([noise(40, 30, seed=i) for i in range(5)]),
    "transparent": encode(np.dstack([gradient(40, 30), np.full((30, 40), 99, np.uint8)]), "PNG"),
    "odd-profile": encode(gradient(96, 64), "JPEG", icc_profile=SWAPPED),
    "hidden-colours": encode(
        np.dstack([gradient(40, 30), np.zeros((30, 40), np.uint8)]), "WEBP", lossless=True, exact=True
    ),
    "gamma-1": PICTURE[:33] + chunk(b"gAMA", (100_000).to_bytes(4)) + PICTURE[33:],
    "heic": (Path(__file__).parent / "data" / "gradient-96x64.heic").read_bytes(),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_sandbox_answers_as_this_process_would(sandbox: Sandbox, data: bytes, recipe: Recipe):
    assert sandbox.prepare(data, recipe) == prepare(data, recipe)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_survives_the_wire(recipe: Recipe):
    assert parse_recipe(format_recipe(recipe)) == recipe


def test_a_frame_of_as_many_pictures_as_it_can_have_is_answered(sandbox: Sandbox):
    hidden = np.dstack([noise(40, 30), np.full((30, 40), 9, np.uint8)])
    alone = Recipe(STEPS, limits=DecodeLimits(max_sampled_frames=1))
    assert len(sandbox.prepare(encode(hidden, "PNG", icc_profile=INVERTING), alone).rows) == 6


@pytest.mark.parametrize(
    ("data", "limits", "error"),
    [
        (b"no image", DecodeLimits(), NotAnImage),
        (PICTURE[:100], DecodeLimits(), Undecodable),
        (PICTURE, DecodeLimits(max_pixels=10), TooManyPixels),
    ],
)
def test_an_error_keeps_its_kind_and_message_across_the_boundary(sandbox: Sandbox, data, limits, error):
    recipe = Recipe(STEPS, limits=limits)
    with pytest.raises(error) as there:
        sandbox.prepare(data, recipe)
    with pytest.raises(error) as here:
        prepare(data, recipe)
    assert there.value.message == here.value.message


def test_one_child_serves_many_images():
    with Sandbox() as sandbox:
        sandbox.prepare(PICTURE, RECIPE)
        (first,) = children(sandbox)
        for _ in range(20):
            sandbox.prepare(PICTURE, RECIPE)
        assert children(sandbox) == [first]
        assert sandbox.restarts == 0


FATAL = [
    "loop",
    "sleep",
    "crash",
    "leave",
    "fail",
    "wrong_size",
    "turned_size",
    "no_pixels",
    "long_header",
    "wrong_type",
    "wrong_media",
    "wrong_names",
    "no_rows",
    "too_many_rows",
    "short_body",
    "huge_header",
    "no_json",
    "drip",
    "drip_pixels",
    "deep_header",
    "infinite_frame",
    "foreign_error",
    "half_character",
    "too_wide",
    "too_many_frames",
    "sampled_more_than_there_are",
    "no_frame",
    "floats",
]


@pytest.mark.parametrize("behaviour", FATAL)
def test_a_decoder_that_breaks_or_lies_costs_its_image_and_is_killed(behaviour: str):
    with Sandbox(prepare=f"decoders:{behaviour}") as sandbox:
        started = time.monotonic()
        with pytest.raises(Undecodable, match="broke its decoder|took longer than 1 s"):
            sandbox.prepare(PICTURE, SHORT)
        assert sandbox.restarts == 1
        assert children(sandbox) == []
        # The second that it is given, and its start; not the hundred that `drip` would take, nor the 600 of others.
        assert time.monotonic() - started < 15


OTHERS = Recipe(
    {"luma": (Luma(64),), "worst": (Fit(64),)}, limits=DecodeLimits(max_sampled_frames=1), only={"worst": 1}
)
LUMA, WORST = {"luma": [64, 64, 1]}, {"luma": [64, 64, 1], "worst": [64, 64, 3]}


@pytest.mark.parametrize(
    "rows",
    [[LUMA, WORST], [LUMA, {**LUMA, "worst": [64, 1, 3]}], [LUMA, WORST, *[LUMA] * 4]],
    ids=["largest", "a-line", "as-many-rows-as-there-can-be"],
)
def test_what_was_asked_for_is_taken(rows: list[dict[str, list[int]]]):
    with Sandbox(prepare="decoders:claim") as sandbox:
        answered = sandbox.prepare(json.dumps(rows).encode(), OTHERS).rows
    assert [{n: [p.width, p.height, p.bands] for n, p in row.pixels.items()} for row in answered] == rows
    assert all(p.data == bytes(p.width * p.height * p.bands) for row in answered for p in row.pixels.values())


LIES = {
    "a-wide-preview": [LUMA, {**LUMA, "worst": [10_000, 1, 3]}],
    "a-tall-preview": [LUMA, {**LUMA, "worst": [1, 65, 3]}],
    "a-preview-of-no-width": [LUMA, {**LUMA, "worst": [0, 64, 3]}],
    "a-preview-of-no-height": [LUMA, {**LUMA, "worst": [64, 0, 3]}],
    "a-size-that-is-no-number": [LUMA, {**LUMA, "worst": [True, 64, 3]}],
    "bands-that-are-no-number": [{"luma": [64, 64, True]}],
    "a-gray-preview": [LUMA, {**LUMA, "worst": [64, 64, 1]}],
    "luma-in-colour": [{"luma": [64, 64, 3]}],
    "luma-too-wide": [{"luma": [65, 64, 1]}],
    "luma-too-tall": [{"luma": [64, 65, 1]}],
    "luma-too-small": [{"luma": [1, 64, 1]}],
    "luma-of-no-width": [{"luma": [0, 64, 1]}],
    "luma-of-no-height": [{"luma": [64, 0, 1]}],
    "a-preview-of-another-row": [WORST, LUMA],
    "previews-of-all-rows": [WORST, WORST],
    "no-preview": [LUMA, LUMA],
    "too-many-rows": [LUMA, WORST, *[LUMA] * 5],
}


@pytest.mark.parametrize("rows", LIES.values(), ids=LIES)
def test_a_decoder_that_sends_what_was_not_asked_for_is_killed(rows: list[dict[str, list[int]]]):
    with Sandbox(prepare="decoders:claim") as sandbox:
        with pytest.raises(Undecodable, match="broke its decoder"):
            sandbox.prepare(json.dumps(rows).encode(), OTHERS)
        assert sandbox.restarts == 1


def test_a_models_pixels_are_not_taken_in_gray():
    with Sandbox(prepare="decoders:claim") as sandbox:
        with pytest.raises(Undecodable, match="broke its decoder"):
            sandbox.prepare(b'[{"plain": [24, 16, 1]}]', RECIPE)
        assert sandbox.prepare(b'[{"plain": [24, 16, 3]}]', RECIPE).rows


def test_floats_are_taken_only_where_exact_arithmetic_makes_them():
    """Of this list of steps it makes none, though the recipe asks for it."""
    averaged = Recipe({"averaged": (Resize(24, 16, antialias=True),)}, Fidelity.REFERENCE)
    with Sandbox(prepare="decoders:floats") as sandbox, pytest.raises(Undecodable, match="broke its decoder"):
        sandbox.prepare(PICTURE, averaged)


def test_a_decoder_that_allocates_without_end_meets_its_limit_and_is_replaced():
    with Sandbox(limits=SandboxLimits(memory_bytes=300 * MIB), prepare="decoders:allocate") as sandbox:
        with pytest.raises(Undecodable, match="more memory"):
            sandbox.prepare(PICTURE, RECIPE)
        assert children(sandbox) == []


def test_a_picture_too_large_for_the_memory_limit_is_undecodable():
    large = encode(np.zeros((7000, 7000, 3), np.uint8), "PNG")  # 196 MB at Pillow's four bytes a pixel
    with Sandbox(limits=SandboxLimits(memory_bytes=200 * MIB)) as sandbox:
        with pytest.raises(Undecodable, match="more memory"):
            sandbox.prepare(large, RECIPE)
        assert sandbox.prepare(PICTURE, RECIPE) == prepare(PICTURE, RECIPE)


def test_good_images_beside_bad_ones_are_answered():
    images = [b"loop", PICTURE, b"crash", PICTURE, b"allocate", PICTURE] * 3
    expected = prepare(PICTURE, SHORT)

    with (
        Sandbox(2, SandboxLimits(memory_bytes=300 * MIB), "decoders:fail_on_demand") as sandbox,
        ThreadPoolExecutor(6) as pool,
    ):

        def answer(data: bytes) -> object:
            try:
                return sandbox.prepare(data, SHORT)
            except Undecodable as error:
                return error.code

        answers = list(pool.map(answer, images))
    assert answers == [expected if data == PICTURE else "undecodable" for data in images]


def test_a_child_that_was_killed_while_it_waited_is_nobodys_fault():
    with Sandbox() as sandbox:
        sandbox.prepare(PICTURE, RECIPE)
        (pid,) = children(sandbox)
        os.kill(pid, signal.SIGKILL)
        while alive(pid):
            time.sleep(0.01)
        assert sandbox.prepare(PICTURE, RECIPE) == prepare(PICTURE, RECIPE)
        assert sandbox.restarts == 1


def test_a_child_that_is_killed_as_the_image_is_sent_is_nobodys_fault_either():
    class Killing(_Child):
        """Loses its process after it was chosen."""

        def prepare(self, data: bytes, recipe: Recipe) -> Inputs:
            os.kill(self.process.pid, signal.SIGKILL)
            while alive(self.process.pid):
                time.sleep(0.01)
            return super().prepare(data, recipe)

    with Sandbox() as sandbox:
        doomed = [Killing(sys.executable, "demure.inputs:prepare", sandbox.limits, Fidelity.FAST) for _ in range(4)]
        sandbox._idle.append(doomed.pop())
        assert sandbox.prepare(PICTURE, RECIPE) == prepare(PICTURE, RECIPE)
        assert sandbox.restarts == 1
        sandbox._idle += doomed
        with pytest.raises(Overloaded, match="killed before they see an image"):
            sandbox.prepare(PICTURE, RECIPE)


@pytest.mark.parametrize("size", [0, 4_000_000], ids=["all of it sent", "half of it sent"])
def test_a_child_that_is_killed_before_it_has_read_the_image_is_nobodys_fault(size: int):
    """As when a system that runs out of memory kills what waits for its turn on a processor."""
    data = PICTURE + bytes(size)  # more than a socket's buffer holds, or less
    with Sandbox() as sandbox, ThreadPoolExecutor() as pool:
        sandbox.prepare(PICTURE, RECIPE)
        (child,) = sandbox._idle
        os.kill(child.process.pid, signal.SIGSTOP)
        answer = pool.submit(sandbox.prepare, data, RECIPE)
        unread = [0, 1]
        while unread[-1] != unread[-2] or not unread[-1]:  # until all is sent that will be
            time.sleep(0.1)
            unread.append(unread_bytes(child.connection))
        os.kill(child.process.pid, signal.SIGKILL)
        assert answer.result() == prepare(data, RECIPE)
        assert sandbox.restarts == 1


NO_PYTHONS = {"uWSGI": "/usr/sbin/uwsgi", "uWSGI of Debian": "/usr/bin/uwsgi_python311", "unknown": "", "none": None}


@pytest.mark.parametrize("executable", NO_PYTHONS.values(), ids=NO_PYTHONS)
def test_within_a_program_that_is_no_python_the_python_of_its_prefix_runs_decoders(executable, tmp_path: Path):
    with pytest.raises(InvalidSetting, match="py-executable"):
        find_python(executable, str(tmp_path))
    (tmp_path / "bin").mkdir()
    for name in ("python3", f"python3.{sys.version_info.minor}"):  # the second is surer to be of this version
        python = tmp_path / "bin" / name
        python.write_text("")
        with pytest.raises(InvalidSetting) if name == "python3" else contextlib.nullcontext():
            find_python(executable, str(tmp_path))
        python.chmod(0o755)
        assert find_python(executable, str(tmp_path)) == str(python)


@pytest.mark.parametrize("executable", ["/usr/bin/python3", "/srv/venv/bin/python", "/opt/Python.app/MacOS/Python"])
def test_a_python_runs_decoders_itself(executable: str, tmp_path: Path):
    assert find_python(executable, str(tmp_path)) == executable


def test_decoding_works_where_sys_executable_is_no_python():
    program = f"""
import sys
sys.executable = {"/usr/sbin/uwsgi"!r}
from demure.sandbox import Sandbox
from demure.inputs import Recipe
from demure.preprocess import Resize
with Sandbox() as sandbox:
    print(sandbox.prepare(sys.stdin.buffer.read(), Recipe({{"m": (Resize(8, 8, False),)}})).media.width)
"""
    done = subprocess.run([sys.executable, "-c", program], input=PICTURE, capture_output=True, check=False, timeout=60)
    assert done.stdout == b"96\n", done.stderr.decode()


def test_a_child_is_replaced_after_its_share_of_images():
    with Sandbox(limits=SandboxLimits(images_per_child=3)) as sandbox:
        seen = []
        for _ in range(6):
            sandbox.prepare(PICTURE, RECIPE)
            seen += children(sandbox)
        # After the third and the sixth none waits.
        assert len(seen) == 4
        assert len({*seen}) == 2
        assert sandbox.restarts == 0


def test_a_child_ignores_the_signals_that_a_terminal_or_supervisor_sends_to_all():
    with Sandbox() as sandbox:
        sandbox.prepare(PICTURE, RECIPE)
        (pid,) = children(sandbox)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert sandbox.prepare(PICTURE, RECIPE) == prepare(PICTURE, RECIPE)
        assert children(sandbox) == [pid]


def test_closing_ends_a_child_that_is_at_work_when_its_answer_is_out():
    sandbox = Sandbox()
    with sandbox._borrowed(Fidelity.FAST) as child:
        sandbox.close()
        assert child.prepare(PICTURE, RECIPE) == prepare(PICTURE, RECIPE)
    assert not alive(child.process.pid)
    assert children(sandbox) == []


def test_all_children_can_be_started_at_once():
    with Sandbox(3) as sandbox:
        assert not sandbox.ready
        sandbox.start()
        assert len({*children(sandbox)}) == 3
        assert sandbox.ready


def test_restarts_are_told():
    told = []
    with Sandbox(prepare="decoders:crash", on_restart=lambda: told.append(1)) as sandbox:
        for _ in range(2):
            with pytest.raises(Undecodable):
                sandbox.prepare(PICTURE, SHORT)
    assert told == [1, 1]


def test_no_file_descriptor_left_is_an_overload():
    """In a process of its own: this one needs its descriptors."""
    program = """
import os, resource, sys
from demure.sandbox import Sandbox
from demure.errors import Overloaded
from demure.inputs import Recipe
from demure.preprocess import Resize
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')), 100))
try:
    Sandbox().prepare(b'x', Recipe({'m': (Resize(8, 8, False),)}))
except Overloaded as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "no decoder could be started (Too many open files)" in done.stdout, done.stderr


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may hand a process limits and take its rights to raise them away"
)
@pytest.mark.parametrize("limit", ["--cpu=3600:3600", "--as=800000000:800000000"])
def test_limits_that_were_inherited_are_kept_and_do_no_harm(limit: str):
    program = f"""
import sys
from demure.sandbox import Sandbox
from demure.inputs import Recipe
from demure.preprocess import Resize
data = open({str(EXAMPLE)!r}, 'rb').read()
with Sandbox() as sandbox:
    print(len(sandbox.prepare(data, Recipe({{'m': (Resize(8, 8, False),)}})).rows))
"""
    command = ["prlimit", limit, "setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "1\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another; any other account is one already")
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_an_account_that_is_not_root_decodes_as_well(data: bytes, tmp_path: Path):
    """Some limits bind others and not root. The one right that is kept is to read what root installed."""
    (tmp_path / "picture").write_bytes(data)
    program = f"""
from demure.sandbox import Sandbox
from demure.inputs import Recipe
from demure.preprocess import Resize
with Sandbox() as sandbox:
    data = open({str(tmp_path / "picture")!r}, 'rb').read()
    print(len(sandbox.prepare(data, Recipe({{'m': (Resize(8, 8, False),)}})).rows) > 0)
"""
    right = "+dac_read_search"
    command = ["setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={right}", f"--ambient-caps={right}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "True\n", done.stderr


def test_closing_ends_the_children():
    sandbox = Sandbox()
    sandbox.prepare(PICTURE, RECIPE)
    (pid,) = children(sandbox)
    assert alive(pid)
    sandbox.close()
    assert not alive(pid)


@pytest.mark.parametrize("behaviour", ["inputs:prepare", "loop"])
def test_children_end_when_their_parent_is_killed(behaviour: str, tmp_path: Path):
    """An idle child sees the socket close; a looping one runs out of processor time."""
    name = "demure.inputs:prepare" if behaviour == "inputs:prepare" else "decoders:loop"
    program = f"""
import os, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
from demure.sandbox import Sandbox
from demure.inputs import Recipe
from demure.decode import DecodeLimits
from demure.preprocess import Fidelity, Resize
sandbox = Sandbox(prepare={name!r})
child = sandbox._take(Fidelity.FAST)
print(child.process.pid, flush=True)
data = open({str(EXAMPLE)!r}, 'rb').read()
child.prepare(data, Recipe({{'m': (Resize(8, 8, False),)}}, limits=DecodeLimits(timeout_s=2)))
threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.5)
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_decoder_that_is_taken_over_can_reach_nothing(attempt: str, tmp_path: Path):
    target = tmp_path / "file"
    target.write_bytes(b"precious")
    with Sandbox(prepare="decoders:attempt") as sandbox:
        succeeded = sandbox.prepare(f"{attempt}|{target}".encode(), RECIPE).rows[0].frame
    assert not succeeded
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_control_who_is_not_confined_can(attempt: str, tmp_path: Path):
    """Without this the test above could pass because the attempts are wrong."""
    target = tmp_path / "file"
    target.write_bytes(b"precious")
    program = f"import sys; from decoders import ATTEMPTS; ATTEMPTS[{attempt!r}](sys.argv[1])"
    # Its parent is a shell of the same user, which it may look into where the kernel's own rule (Yama) allows that.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", program, str(target)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("limit", "value"), [("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 3)])
def test_a_decoder_keeps_no_room_for_more(limit: str, value: int):
    with Sandbox(prepare="decoders:report_limits") as sandbox:
        assert sandbox.prepare(limit.encode(), RECIPE).rows[0].frame == value


def test_a_decoder_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_API_KEYS", "secret")
    with Sandbox(prepare="decoders:report_environment") as sandbox:
        assert sandbox.prepare(PICTURE, RECIPE).rows[0].frame == 0


def test_a_decoder_starts_without_numpy_and_the_rest():
    with Sandbox(prepare="decoders:report_modules") as sandbox:
        assert sandbox.prepare(PICTURE, RECIPE).rows[0].frame == 0


def test_our_own_errors_are_told_from_a_broken_decoder():
    with Sandbox(prepare="decoders:refuse") as sandbox:
        with pytest.raises(TooManyFrames, match="9 frames; the limit is 8"):
            sandbox.prepare(PICTURE, RECIPE)
        assert len(children(sandbox)) == 1
        assert sandbox.restarts == 0


def test_a_decoder_that_cannot_start_is_an_overload_and_can_be_tried_again():
    with Sandbox(prepare="decoders:no_such_function") as sandbox, pytest.raises(Overloaded) as caught:
        sandbox.prepare(PICTURE, RECIPE)
    assert caught.value.retryable
