"""The shell: what it prints and its exit code, and, as a process, what it says where the question is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import EXAMPLE, encode, gradient
from service import LOOPBACK, ImageServer
from typer.testing import CliRunner

import demure
from demure.cli import app


def run(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """In this process, which has loaded by now what each new one would have to load. Raises what `demure` puts into one line."""
    others = {name: None for name in os.environ if name.startswith("DEMURE_")}
    done = CliRunner().invoke(app, [*map(str, arguments)], input=stdin, env={**others, **environment})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def process(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEMURE_")}
    done = subprocess.run(
        [sys.executable, "-m", "demure", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env={**kept, **environment},
        timeout=120,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def items(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_image_is_answered_with_its_decision_and_scores():
    done = process("classify", EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    decision, reason, name, *scores = done.stdout.strip().split("\t")
    assert (decision, reason, name) == ("safe", "risk <= 0.25 and open_nsfw <= 0.2", str(EXAMPLE))
    assert [score.partition("=")[0] for score in scores] == [*demure.Category, "open_nsfw"]


def test_json_is_the_item_of_the_library():
    (item,) = items(run("classify", "--json", EXAMPLE))
    expected = demure.screen(EXAMPLE).as_dict()
    assert (item.pop("id"), expected.pop("id")) == (str(EXAMPLE), None)
    assert item.pop("timings_ms").keys() == expected.pop("timings_ms").keys()
    assert item == expected


def test_several_files_are_answered_in_order_and_a_bad_one_does_not_stop_the_rest(tmp_path: Path):
    text, cut = tmp_path / "text.jpg", tmp_path / "cut.jpg"
    text.write_text("hello")
    cut.write_bytes(EXAMPLE.read_bytes()[:4000])
    done = process("classify", "--json", EXAMPLE, text, tmp_path / "absent.jpg", cut, EXAMPLE)
    assert done.returncode == 1
    found = [(item["id"], item["decision"], item.get("error", {}).get("code")) for item in items(done)]
    assert found == [
        (str(EXAMPLE), "safe", None),
        (str(text), "unknown", "not_an_image"),
        (str(tmp_path / "absent.jpg"), "unknown", "not_found"),
        (str(cut), "unknown", "undecodable"),
        (str(EXAMPLE), "safe", None),
    ]


def test_a_dash_reads_standard_input():
    (item,) = items(process("classify", "--json", "-", stdin=EXAMPLE.read_bytes()))
    assert (item["id"], item["decision"]) == ("-", "safe")
    assert item["sha256"] == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()


def test_an_endless_standard_input_is_cut_at_the_limit():
    (item,) = items(run("classify", "--json", "-", stdin=bytes(25 * 1024 * 1024)))
    assert item["error"]["code"] == "too_large"


def test_model_policy_and_fidelity_are_chosen_by_option():
    reference = demure.classify(EXAMPLE, model="mobilenet_v2", fidelity="reference").as_dict()
    options = ("--model", "mobilenet_v2", "--policy", "original", "--fidelity", "reference")
    (item,) = items(run("classify", "--json", *options, EXAMPLE))
    assert (item["scores"], item["witnesses"], item["reason"]) == (reference, {}, "neutral >= 0.7")


def test_the_policy_may_be_a_file_and_come_from_the_environment(tmp_path: Path):
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\n[adult]\nneutral = { at_least = 0.5 }')
    for options, environment in ((("--policy", mine), {}), ((), {"DEMURE_POLICY": str(mine)})):
        (item,) = items(run("classify", "--json", *options, EXAMPLE, **environment))
        assert (item["decision"], item["reason"]) == ("adult", "neutral >= 0.5")


def test_a_policy_of_the_operators_folder_is_listed_and_chosen_by_its_name(tmp_path: Path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[adult]\nneutral = { at_least = 0.5 }')
    folder = {"DEMURE_POLICIES_DIR": str(tmp_path)}
    assert "mine" in [item["name"] for item in items(run("policies", "--json", **folder))]
    for options, environment in ((("--policy", "mine"), folder), ((), {**folder, "DEMURE_POLICY": "mine"})):
        (item,) = items(run("classify", "--json", *options, EXAMPLE, **environment))
        assert (item["decision"], item["reason"]) == ("adult", "neutral >= 0.5")


def test_an_operators_model_is_listed_and_asked(models_dir: Path, tmp_path: Path):
    picture = tmp_path / "red.png"
    red = gradient(40, 40)
    red[:] = [255, 0, 0]
    picture.write_bytes(encode(red, "PNG"))
    listed = [item["name"] for item in items(run("models", "--json", DEMURE_MODELS_DIR=str(models_dir)))]
    assert {"colour", "redness", "open_nsfw"} <= {*listed}
    options = ("--model", "colour", "--policy", "original")
    (item,) = items(run("classify", "--json", *options, picture, DEMURE_MODELS_DIR=str(models_dir)))
    assert item["scores"]["porn"] == pytest.approx(1, abs=1e-4)


WRONG = {
    "model": (("classify", "--model", "nope", EXAMPLE), {}, "unknown_model", "mobilenet_v2_140"),
    "policy": (("classify", "--policy", "nope", EXAMPLE), {}, "unknown_policy", "balanced"),
    "policy-file": (("classify", "--policy", "nope.toml", EXAMPLE), {}, "invalid_policy", "nope.toml"),
    "setting": (("models",), {"DEMURE_MODLES_DIR": "x"}, "invalid_setting", "DEMURE_MODELS_DIR"),
    "models-dir": (("models",), {"DEMURE_MODELS_DIR": "/nowhere"}, "invalid_model", "/nowhere"),
    "policy-setting": (("classify", EXAMPLE), {"DEMURE_POLICY": "nope"}, "unknown_policy", "balanced"),
}


@pytest.mark.parametrize(("arguments", "environment", "code", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_question_is_one_line_with_its_code_and_exits_2(arguments, environment, code, hint):
    done = process(*arguments, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"demure: {code}: ")
    assert hint in done.stderr
    assert done.stderr.count("\n") == 1


def test_damaged_weights_are_one_line_too(models_dir: Path):
    (models_dir / "colour.onnx").write_bytes(b"rot")
    done = process("classify", "--model", "colour", EXAMPLE, DEMURE_MODELS_DIR=str(models_dir))
    assert done.returncode == 2
    assert done.stderr.startswith("demure: damaged_weights: ")


@pytest.mark.parametrize("arguments", [(), ("classify",), ("classify", "--fidelity", "best", "x"), ("frobnicate",)])
def test_a_wrong_command_line_exits_2_with_the_usage(arguments):
    done = process(*arguments)
    assert done.returncode == 2
    assert "Usage: " in done.stdout + done.stderr


def test_policies_are_listed_with_their_rules():
    done = run("policies", "--json")
    listed = {item["name"]: item for item in items(done)}
    assert [*listed] == ["balanced", "strict", "permissive", "original"]
    assert listed["balanced"]["default"]
    assert listed["balanced"]["adult"] == "explicit >= 0.85 and open_nsfw >= 0.8"
    assert run("policies").stdout.startswith("balanced (default)\n")


def test_models_are_listed_for_people_too():
    text = run("models").stdout
    assert "mobilenet_v2_140 (default)\n" in text
    assert "BSD-2-Clause" in text


def test_the_version_is_told():
    assert process("--version").stdout == f"demure {demure.__version__}\n"


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m demure classify --json {' '.join([str(EXAMPLE)] * 8)} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=120, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


def test_a_url_is_fetched_where_the_operator_opened_the_network():
    with ImageServer() as images:
        url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
        done = run("classify", "--json", url, images.url("/absent.jpg"), "HTTP://10.0.0.1/a.jpg", EXAMPLE, **LOOPBACK)
        closed = run("classify", "--json", url)
    found = [(item["decision"], item.get("error", {}).get("code")) for item in items(done)]
    assert found == [("safe", None), ("unknown", "upstream_status"), ("unknown", "url_not_allowed"), ("safe", None)]
    assert items(done)[0]["id"] == url
    assert done.returncode == closed.returncode == 1
    assert items(closed)[0]["error"]["code"] == "url_not_allowed"


def test_a_key_is_made_listed_and_revoked(tmp_path: Path):
    data = {"DEMURE_DATA_DIR": str(tmp_path / "data")}
    made = run("keys", "create", "my-site", "--scopes", "classify,review", **data)
    secret = made.stdout.splitlines()[-1]
    assert secret.startswith("demure_")
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    assert run("keys", "list", **data).stdout == f"my-site\tclassify,review\tsha256 {hashed[:12]}…\n"
    assert stat.S_IMODE((tmp_path / "data" / "demure.db").stat().st_mode) == 0o600
    again = process("keys", "create", "my-site", **data)
    assert (again.returncode, "is taken" in again.stderr) == (2, True)
    assert process("keys", "create", "x", "--scopes", "fly", **data).stderr.startswith("demure: invalid_setting: ")
    assert run("keys", "revoke", "my-site", **data).returncode == 0
    assert process("keys", "revoke", "my-site", **data).stderr.startswith("demure: not_found: ")
    assert run("keys", "list", **data).stdout == ""
