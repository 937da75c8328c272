"""The files that platforms read: that they parse, that what they name exists, and the promises that their comments make."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from demure.settings import PREFIX, Settings, read_settings
from demure.web.auth import OPEN

ROOT = Path(__file__).parent.parent
FILES = ("Dockerfile", "compose.yaml", "Procfile", ".do/app.yaml", "fly.toml", "deploy/demure.service")
TEXTS = {name: (ROOT / name).read_text() for name in FILES}
PAGE = (ROOT / "docs/deploying.md").read_text()
GRACE_S = 30  # gunicorn.conf.py's graceful_timeout: whoever stops the service waits longer
COMMAND = ["gunicorn", "--worker-tmp-dir", "/dev/shm", "app:app"]
# Both have a meaning to a program beside the service: the shops' hooks, and the file of settings.
OTHER_VARIABLES = {"DEMURE_CONFIG", "DEMURE_URL", "DEMURE_KEY"}


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Name and argument of each, with folded lines joined and comments left out."""
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """By name; the last one, which is built where none is asked for, is called `last`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, rest in instructions(TEXTS["Dockerfile"]):
        if name == "FROM":
            current = found.setdefault(rest.partition(" AS ")[2] or "last", [])
        if name != "ARG":
            current.append((name, rest))
    return found


def arguments(stage: str, instruction: str) -> list[str]:
    return [rest for name, rest in stages()[stage] if name == instruction]


APP = yaml.safe_load(TEXTS[".do/app.yaml"])
COMPOSE = yaml.safe_load(TEXTS["compose.yaml"])
FLY = tomllib.loads(TEXTS["fly.toml"])


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(TEXTS["deploy/demure.service"])
    return parser


@pytest.mark.parametrize("name", FILES)
def test_every_setting_that_a_file_names_is_one(name: str):
    named = set(re.findall(r"\bDEMURE_[A-Z_]+", TEXTS[name]))
    assert named <= {PREFIX + field.upper() for field in Settings.model_fields}


def test_every_setting_that_the_page_names_is_one():
    named = set(re.findall(r"\bDEMURE_[A-Z_]+", PAGE))
    assert named <= {PREFIX + field.upper() for field in Settings.model_fields} | OTHER_VARIABLES


@pytest.mark.parametrize("name", [".do/app.yaml", "Procfile", "fly.toml"])
def test_the_first_lines_say_what_becomes_of_the_disk(name: str):
    first = " ".join(TEXTS[name].splitlines()[:2])
    assert re.search(r"disk.*gone|empty disk", first)
    assert "PostgreSQL" in first or "DEMURE_DATABASE_URL" in first


def test_all_listen_on_the_port_that_gunicorn_takes_unasked():
    configured = re.search(r"'PORT', '(\d+)'", (ROOT / "gunicorn.conf.py").read_text())[1]
    ports = {
        arguments("service", "EXPOSE")[0],
        str(APP["services"][0]["http_port"]),
        str(FLY["http_service"]["internal_port"]),
        COMPOSE["services"]["demure"]["ports"][0].rpartition(":")[2],
        re.search(r"PORT=(\d+)", unit()["Service"]["Environment"])[1],
    }
    assert ports == {configured}


def test_all_health_checks_ask_what_is_answered_without_a_key():
    service = APP["services"][0]
    paths = {
        service["health_check"]["http_path"],
        service["liveness_health_check"]["http_path"],
        FLY["http_service"]["checks"][0]["path"],
        *re.findall(r"\+ '(/\w+)'", arguments("service", "HEALTHCHECK")[0]),
    }
    assert paths == {"/health", "/livez"}
    assert paths <= OPEN


def test_whoever_stops_it_waits_longer_than_requests_are_given():
    assert re.search(r"^graceful_timeout = (\d+)$", (ROOT / "gunicorn.conf.py").read_text(), re.MULTILINE)[1] == str(
        GRACE_S
    )
    assert FLY["kill_timeout"] > GRACE_S
    assert APP["services"][0]["termination"]["grace_period_seconds"] > GRACE_S
    assert int(unit()["Service"]["TimeoutStopSec"]) > GRACE_S
    assert int(COMPOSE["services"]["demure"]["stop_grace_period"].removesuffix("s")) > GRACE_S
    assert (FLY["kill_signal"], arguments("service", "STOPSIGNAL")) == ("SIGTERM", ["SIGTERM"])


# The Dockerfile


def test_the_image_runs_as_a_number_that_is_not_root_and_without_a_shell():
    (user,) = arguments("last", "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert json.loads(arguments("last", "CMD")[0]) == COMMAND
    assert not arguments("last", "ENTRYPOINT")
    assert [json.loads(run) for run in arguments("build", "RUN")]  # all in exec form


def test_what_is_installed_has_hashes_and_no_index_is_named():
    (requirements,) = [json.loads(run) for run in arguments("build", "RUN") if "-r" in run]
    assert {"--require-hashes", "--only-binary", "postgres.txt"} <= {*requirements}
    assert not re.search(r"index-url|https?://(?!127\.0\.0\.1)", TEXTS["Dockerfile"])
    ours = json.loads(arguments("build", "RUN")[-1])
    assert {"--no-index", "--no-deps", "--no-build-isolation", "."} <= {*ours}
    locked = (ROOT / "requirements/postgres.txt").read_text()
    for name in ("psycopg-binary", "gunicorn", "flit-core"):  # the driver, the server, and what builds the wheel
        assert re.search(rf"^{name}==", locked, re.MULTILINE)


def test_the_stages_that_run_install_nothing():
    assert [name for name, _ in stages()["last"] if name == "RUN"] == []
    assert [json.loads(run)[0] for run in arguments("service", "RUN")] == ["install"]  # coreutils': it makes a folder
    assert {copied.split()[0] for copied in arguments("service", "COPY")} == {"--from=build", "app.py"}


def test_what_is_copied_exists_and_is_let_through_by_dockerignore():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = [rest.split()[:-1] for stage in ("build", "service") for rest in arguments(stage, "COPY")]
    sources = {source for words in copied for source in words if "--from=build" not in words}
    assert {"src", "requirements/postgres.txt", "app.py", "LICENSE", "NOTICE"} <= sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in rules
    assert rules[0] == "*"
    assert not any(fnmatch(".env", rule.removeprefix("!")) for rule in rules[1:])


def test_the_root_that_is_needed_for_a_volume_is_given_up_before_the_service_starts():
    shell, option, script = json.loads(arguments("roots-volume", "CMD")[0])
    assert (shell, option) == ("sh", "-c")
    first, second = script.split(" && ")
    assert first == f"chown {arguments('last', 'USER')[0]} {FLY['env']['DEMURE_DATA_DIR']}"
    words = shlex.split(second)
    assert words[:2] == ["exec", "setpriv"]
    assert {"--clear-groups", "--no-new-privs", "--bounding-set=-all"} <= {*words}
    assert words[-len(COMMAND) :] == COMMAND
    assert FLY["build"]["build-target"] in stages()
    assert FLY["mounts"][0]["destination"] == FLY["env"]["DEMURE_DATA_DIR"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_an_answer_from_none(status: int, code: int):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    program, *rest = json.loads(arguments("service", "HEALTHCHECK")[0].partition(" CMD ")[2])
    assert program == "python"
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        environment = {**os.environ, "PORT": str(server.server_port)}
        done = subprocess.run([sys.executable, *rest], env=environment, capture_output=True, timeout=60, check=False)
        thread.join()
    assert (done.returncode, asked) == (code, ["/livez"])


# The platforms


def test_the_app_spec_has_no_field_that_the_platform_does_not_know():
    # digitalocean/openapi: specification/resources/apps/models/app_{component_base,component_instance_base,service_spec}.yml
    known = {
        *("name", "git", "github", "gitlab", "image", "dockerfile_path", "build_command", "run_command", "source_dir"),
        *("envs", "environment_slug", "instance_count", "instance_size_slug", "autoscaling", "health_check"),
        *("liveness_health_check", "protocol", "http_port", "internal_ports", "termination"),
    }
    seconds = {"initial_delay_seconds", "period_seconds", "timeout_seconds"}
    checks = {"http_path", "failure_threshold", "success_threshold", *seconds}
    (service,) = APP["services"]
    assert {*APP} <= {"name", "region", "services", "ingress", "alerts", "databases", "domains", "features"}
    assert {*service} <= known
    assert {*service["health_check"], *service["liveness_health_check"]} <= checks
    for name in (APP["name"], service["name"]):
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", name)
    assert service["instance_size_slug"] in {"apps-s-1vcpu-1gb", "apps-s-1vcpu-2gb", "apps-s-2vcpu-4gb"}
    assert shlex.split(service["run_command"]) == COMMAND
    assert (ROOT / service["dockerfile_path"]).exists()
    assert APP["ingress"]["rules"][0]["component"]["name"] == service["name"]


def test_an_app_spec_that_nobody_edited_stops_the_start_and_says_what_is_expected():
    from demure.errors import InvalidSetting
    from demure.store.database import Database

    (value,) = [env["value"] for env in APP["services"][0]["envs"] if env.get("type") == "SECRET"]
    with pytest.raises(InvalidSetting, match="DEMURE_DATABASE_URL: expected .*postgresql://"):
        Database(value)


def web_command() -> str:
    (command,) = re.findall(r"^web: (.+)$", TEXTS["Procfile"], re.MULTILINE)
    return command


@pytest.mark.parametrize(
    ("given", "database"),
    [
        ({"DATABASE_URL": "postgres://u:p@h/d"}, "postgres://u:p@h/d"),
        ({"DATABASE_URL": "postgres://u:p@h/d", "DEMURE_DATABASE_URL": "postgresql://mine"}, "postgresql://mine"),
        ({}, ""),
    ],
    ids=["the platform's", "one's own", "none"],
)
def test_the_procfile_takes_the_platforms_database_and_one_worker(tmp_path: Path, given: dict[str, str], database: str):
    fake = tmp_path / "gunicorn"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$DEMURE_DATABASE_URL" "$WEB_CONCURRENCY" "$@"\n')
    fake.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WEB_CONCURRENCY": "4", **given}
    done = subprocess.run(["bash", "-c", web_command()], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [database, "1", *COMMAND[1:]]
    assert read_settings({"DEMURE_DATABASE_URL": database}).database_url == database  # an empty one is SQLite


def test_the_build_hook_is_a_program_and_installs_the_locked_driver():
    hook = ROOT / "bin/post_compile"
    assert os.access(hook, os.X_OK)
    subprocess.run(["bash", "-n", hook], check=True)
    assert "--require-hashes --requirement requirements/postgres.txt" in hook.read_text()


def test_the_python_is_the_one_that_the_tests_run_with():
    version = (ROOT / ".python-version").read_text().strip()
    assert version == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"PYTHON=python:{version}-slim" in TEXTS["Dockerfile"]


# compose.yaml


def test_compose_gives_the_service_no_more_than_it_needs():
    service = COMPOSE["services"]["demure"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= {*service}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["depends_on"]["database"]["condition"] == "service_healthy"
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == [
        "/tmp"
    ]  # /dev/shm is there by itself, /data not used


def test_compose_keeps_the_database_on_a_volume_out_of_reach_and_with_no_password_of_ours():
    database = COMPOSE["services"]["database"]
    assert re.fullmatch(r"postgres:\d+(-\w+)?", database["image"])
    volume, _, folder = database["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert folder == "/var/lib/postgresql/data"
    assert "ports" not in database
    assert database["networks"] == ["back"]
    assert COMPOSE["networks"]["back"]["internal"] is True
    url = COMPOSE["services"]["demure"]["environment"]["DEMURE_DATABASE_URL"]
    assert re.fullmatch(r"postgresql://demure:\$\{POSTGRES_PASSWORD:\?[^}]+\}@database/demure", url)
    assert re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}", database["environment"]["POSTGRES_PASSWORD"])
    assert (database["environment"]["POSTGRES_USER"], database["environment"]["POSTGRES_DB"]) == ("demure", "demure")


def test_the_password_is_made_once_and_read_by_nobody_else(tmp_path: Path):
    (line,) = re.findall(r"^\(umask .+\)$", PAGE, re.MULTILINE)
    assert f"#   {line} && docker compose up" in TEXTS["compose.yaml"]
    fake = tmp_path / "openssl"
    fake.write_text("#!/bin/sh\necho made-of $RANDOM_BYTES\n")
    fake.chmod(0o700)
    for number in ("first", "second"):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RANDOM_BYTES": number}
        subprocess.run(["bash", "-e", "-c", line], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / ".env").read_text() == "POSTGRES_PASSWORD=made-of first\n"
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert {".env", "*.db", "*.db-*"} <= {*(ROOT / ".gitignore").read_text().splitlines()}


# deploy/demure.service


def test_a_command_beside_the_unit_is_shown_with_the_units_user_and_settings():
    (line,) = re.findall(r"^ *sudo systemd-run .+$", PAGE, re.MULTILINE)
    words = shlex.split(line)
    service = unit()["Service"]
    assert f"User={service['User']}" in words
    assert f"EnvironmentFile={service['EnvironmentFile']}" in words
    (folder,) = [word for word in service["Environment"].split() if word.startswith("DEMURE_")]
    assert folder in words
    assert f"{service['WorkingDirectory']}/.venv/bin/demure" in words


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path):
    program = shutil.which("systemd-analyze")
    assert program, "the unit is checked by systemd: install the system's package of that name"
    text = re.sub(
        r"^ExecStart=\S+", "ExecStart=/bin/true", TEXTS["deploy/demure.service"], flags=re.MULTILINE
    )  # it must exist
    (tmp_path / "demure.service").write_text(text)
    done = subprocess.run([program, "verify", tmp_path / "demure.service"], capture_output=True, text=True, check=False)
    # Where another unit of the machine is at fault, that is told as well.
    assert (done.returncode, [line for line in done.stderr.splitlines() if "demure.service" in line]) == (0, [])


def test_the_unit_leaves_the_decoders_the_means_to_lock_themselves_up():
    filters = re.findall(r"^SystemCallFilter=(.+)$", TEXTS["deploy/demure.service"], re.MULTILINE)
    allowed = {word for line in filters if not line.startswith("~") for word in line.split()}
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= allowed
    assert not any("@resources" in line for line in filters if line.startswith("~"))  # setrlimit is their other means


def test_the_unit_runs_the_clone_as_a_user_of_its_own_who_can_write_one_folder():
    service = unit()["Service"]
    assert service["User"] == "demure"
    assert service["ProtectSystem"] == "strict"
    assert f"DEMURE_DATA_DIR=/var/lib/{service['StateDirectory']}" in service["Environment"].split()
    assert shlex.split(service["ExecStart"])[0] == f"{service['WorkingDirectory']}/.venv/bin/gunicorn"
    assert shlex.split(service["ExecStart"])[-1] == "app:app"
    assert not {"ReadWritePaths", "AmbientCapabilities"} & {key for key, value in service.items() if value}


@pytest.mark.parametrize("name", ["Dockerfile", "deploy/demure.service"])
def test_onnx_runtime_is_told_to_tell_nobody(name: str):
    assert re.search(r"\bORT_DISABLE_TELEMETRY=1\b", TEXTS[name])
