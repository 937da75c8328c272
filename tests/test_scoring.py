"""Labelled images to a LabelledSet, with tiny models; what is right is told by asking about one image at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pdq_pictures import ellipses
from pictures import animation, encode, gradient, noise, plain
from PIL import Image
from service import ImageServer
from tiny_models import FIVE, RULES, add_model, tiny_graph
from upstream import LOOPBACK

from demure.classifier import Classifier, Classifiers
from demure.decode import DecodeLimits
from demure.errors import DamagedWeights, InvalidModel, NotAnImage, SourceNotFound, StorageUnavailable
from demure.evaluation.gathering import count_near
from demure.evaluation.labelled import LabelledSet
from demure.evaluation.labels import LabelledImages, read_labels
from demure.fetch import FetchLimits
from demure.fetching import PER_HOST, Fetching
from demure.models import Registry
from demure.pipeline import Screener
from demure.policy_file import parse_policy
from demure.preprocess import Fidelity
from demure.sandbox import Sandbox
from demure.score_cache import ScoreCache
from demure.scores import Category
from demure.scoring import Scored, Scorer, score_all, score_labels

FETCH = FetchLimits(allow_networks=LOOPBACK, ports=frozenset(range(1, 65536)))


class Counting(Classifier):
    """Asks the model, and counts how often; `slow_s` a question."""

    def __init__(self, inner: Classifier, slow_s: float = 0.0) -> None:
        super().__init__(inner.spec)
        self.asked = 0
        self._slow_s = slow_s
        self._counting = threading.Lock()

    def classify(self, pixels):
        with self._counting:
            self.asked += 1
        time.sleep(self._slow_s)
        return super().classify(pixels)


@pytest.fixture
def classifiers(models_dir: Path) -> dict[str, Counting]:
    known = Classifiers(Registry(models_dir))
    return {name: Counting(known[name]) for name in ("colour", "redness")}


@pytest.fixture
def cache(tmp_path: Path):
    with ScoreCache(tmp_path / "scores.sqlite3") as opened:
        yield opened


def folder_of(tmp_path: Path, **pictures: bytes) -> Path:
    """`adult_x` is x.img in adult/."""
    folder = tmp_path / "labelled"
    for name, data in pictures.items():
        verdict, _, rest = name.partition("_")
        (folder / verdict).mkdir(parents=True, exist_ok=True)
        (folder / verdict / f"{rest}.img").write_bytes(data)
    return folder


def varied(tmp_path: Path) -> Path:
    """Several formats, two grounds, four frames, one too small, two that fail."""
    see_through = Image.fromarray(np.full((50, 60, 4), (200, 30, 30, 128), np.uint8))
    return folder_of(
        tmp_path,
        adult_jpeg=encode(gradient(900, 700), "JPEG"),
        adult_frames=animation([plain([0, 255 - 60 * i, 60 * i], 40) for i in range(4)]),
        adult_text=b"no image",
        adult_noise=encode(noise(80, 60), "PNG"),
        safe_ground=encode(see_through, "PNG"),
        safe_small=encode(plain([250, 10, 10], 31), "PNG"),
        safe_cut=encode(noise(300, 200), "PNG")[:2000],
        safe_webp=encode(gradient(70, 200), "WEBP"),
    )


def scored(folder: Path, classifiers, **options) -> LabelledSet:
    return score_labels(read_labels(folder, model="colour"), classifiers, **options)


def rows(found: LabelledSet) -> list[list[dict[str, float]]]:
    """Each image's rows, as names to scores."""
    ends = [*found.first_row[1:].tolist(), found._rows]
    columns = {name: column for model in found.scores.values() for name, column in model.items()}
    return [
        [{name: column[row] for name, column in columns.items()} for row in range(start, end)]
        for start, end in zip(found.first_row.tolist(), ends, strict=True)
    ]


def same(one: LabelledSet, other: LabelledSet) -> bool:
    return (rows(one), *_plain(one)) == (rows(other), *_plain(other))


def _plain(found: LabelledSet) -> tuple[object, ...]:
    facts = (found.is_adult.tolist(), found.is_small.tolist(), [*found.ids], [*found.sha256s], found.groups)
    return *facts, found.gathering


# --- The scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fidelity", Fidelity)
@pytest.mark.parametrize("where", ["here", "sandboxed"])
def test_each_image_gets_the_scores_that_it_gets_alone(tmp_path, classifiers, sandbox: Sandbox, fidelity, where):
    """The worst of an image's rows is what a Screener answers, with policy and all; and what fails there fails here."""
    folder = varied(tmp_path)
    place = sandbox if where == "sandboxed" else None
    found = scored(folder, classifiers, sandbox=place, fidelity=fidelity)
    known = Classifiers(Registry(tmp_path / "models"))
    policy = parse_policy(RULES, "colours", known.registry.witnesses)
    screener = Screener(policy, model="colour", fidelity=fidelity, classifiers=known)
    failures: Counter[str] = Counter()
    answers = []
    for path in sorted(folder.rglob("*.img")):
        answer = screener.screen(path, id=str(path), fingerprints=True)
        if answer.error is None:
            answers.append(answer)
        else:
            failures[answer.error.code] += 1
    assert found.gathering.failures == failures == {"not_an_image": 1, "undecodable": 1}
    assert [*found.ids] == [answer.id for answer in answers]
    assert [*found.sha256s] == [answer.sha256 for answer in answers]
    assert found.is_adult.tolist() == ["/adult/" in answer.id for answer in answers]
    assert found.is_small.tolist() == ["small" in answer.id for answer in answers]
    for image, answer in zip(rows(found), answers, strict=True):
        assert image[answer.worst_row] == {**answer.scores, **answer.witnesses}
        assert len(image) == (
            1 if fidelity is Fidelity.REFERENCE and "ground" in answer.id else len(answer.fingerprints) or 1
        )
    gravest = [answer.decision.gravity for answer in answers]
    assert found.decisions("colour", policy).tolist() == gravest
    assert {*found.scores["colour"]} == {*Category}


def test_the_answer_does_not_hang_on_the_number_of_threads(tmp_path: Path, classifiers):
    folder = varied(tmp_path)
    one, *others = (scored(folder, classifiers, threads=threads) for threads in (1, 2, 7))
    assert all(same(one, other) for other in others)


def test_images_are_in_the_order_given_however_long_each_takes(tmp_path: Path, classifiers):
    """Every other one waits for its answer; more images than are begun ahead."""
    names = [f"{n:03}" for n in range(80)]
    folder = folder_of(tmp_path, **{f"safe_{n}": encode(plain([int(n), 0, 0], 40), "PNG") for n in names})

    class Late(Counting):
        def classify(self, pixels):
            time.sleep(0.02 if pixels.data[0] % 10 == 0 else 0)
            return super().classify(pixels)

    found = scored(folder, {"redness": Late(classifiers["redness"])}, threads=2)
    assert found.scores["redness"]["redness"] == pytest.approx(np.arange(80) / 255, abs=1e-6)
    assert (found.models, found.witnesses) == ((), ("redness",))


def test_progress_is_told_after_each_image(tmp_path: Path, classifiers):
    told: list[tuple[int, int | None]] = []
    scored(varied(tmp_path), classifiers, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 8) for n in range(1, 9)]


def test_no_more_than_a_few_images_are_begun_ahead(tmp_path: Path, classifiers):
    """A list may be longer than memory: sources are asked for as answers are taken."""
    data = encode(plain([9, 9, 9], 40), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield path

    with closing(score_all(endless(), Scorer(classifiers), threads=2)) as answers:
        for _ in range(5):
            next(answers)
    assert taken <= 5 + 2 * 16


def test_what_was_not_begun_when_the_work_is_stopped_is_not_done(tmp_path: Path, classifiers):
    path = tmp_path / "a.png"
    path.write_bytes(encode(plain([9, 9, 9], 40), "PNG"))
    slow = {"redness": Counting(classifiers["redness"], slow_s=0.05)}
    with closing(score_all([path] * 30, Scorer(slow), threads=2)) as answers:
        next(answers)
    assert slow["redness"].asked < 15


def test_all_may_fail_and_none_is_made_up(tmp_path: Path, classifiers):
    found = scored(folder_of(tmp_path, adult_a=b"", adult_b=b"x" * 99, safe_c=b"\xff\xd8\xff"), classifiers)
    assert (len(found), found.gathering.failures) == (0, {"empty_body": 1, "not_an_image": 1, "undecodable": 1})
    assert found.scores["colour"]["porn"].shape == found.first_row.shape == (0,)
    assert found.gathering.near_copies == 0


def test_what_a_list_names_and_is_not_there_or_too_large_is_counted(tmp_path: Path, classifiers):
    (tmp_path / "big.png").write_bytes(encode(plain([1, 2, 3], 40), "PNG") + bytes(1000))
    (tmp_path / "list.csv").write_text("path,label\nabsent.png,safe\nbig.png,safe\n.,adult\n")
    found = scored(tmp_path / "list.csv", classifiers, limits=DecodeLimits(max_bytes=1000))
    assert found.gathering.failures == {"not_found": 2, "too_large": 1}


def test_labels_that_have_scores_are_answered_as_they_are(tmp_path: Path, classifiers):
    (tmp_path / "x.csv").write_text("label,redness\nsafe,0.5\n")
    labels = read_labels(tmp_path / "x.csv", model="colour", witnesses=["redness"])
    assert score_labels(labels, classifiers) is labels
    assert classifiers["redness"].asked == 0


def test_paths_of_a_list_begin_at_its_folder_and_groups_go_along(tmp_path: Path, classifiers):
    folder = varied(tmp_path)
    (folder / "x.csv").write_text(
        "path,label,context\nsafe/webp.img,adult,chat\nadult/text.img,safe,a\nsafe/small.img,safe,\n"
    )
    labels = read_labels(folder / "x.csv", group="context", model="colour")
    found = score_labels(labels, classifiers)
    assert (found.ids, found.groups) == (["safe/webp.img", "safe/small.img"], ["chat", "—"])
    assert found.is_adult.tolist() == [True, False]


@pytest.mark.parametrize("kind", [DamagedWeights, InvalidModel])
def test_a_model_that_is_broken_ends_the_work(tmp_path: Path, models_dir: Path, kind):
    if kind is DamagedWeights:
        (models_dir / "colour.onnx").write_bytes(b"rot")
    else:
        add_model(models_dir, "wide", tiny_graph(5, width=7), FIVE)
    known = Classifiers(Registry(models_dir))
    broken = known["colour" if kind is DamagedWeights else "wide"]
    with pytest.raises(kind):
        scored(varied(tmp_path), {broken.spec.name: broken}, threads=2)


# --- The same image again ---------------------------------------------------------------------------------------------


def test_the_same_bytes_count_once_and_under_both_labels_not_at_all(tmp_path: Path, classifiers):
    one, two, three = (encode(plain([200, n, 0], 40), "PNG") for n in range(3))
    folder = folder_of(
        tmp_path, adult_a=one, adult_b=two, adult_c=one, adult_d=one, safe_e=two, safe_f=three, safe_g=two, safe_h=three
    )
    found = scored(folder, classifiers)
    names = [Path(name).stem for name in found.ids]
    assert (names, found.is_adult.tolist()) == (["a", "f"], [True, False])
    assert found.gathering.duplicates == 3
    assert [Path(name).stem for name in found.gathering.contradictions] == ["b", "e", "g"]
    assert rows(found)[1][0]["redness"] == pytest.approx(200 / 255, abs=1e-6)


def test_near_copies_are_counted_over_both_labels(tmp_path: Path, classifiers):
    """Of each other picture there is a smaller copy; what has no fingerprint to speak of is like nothing."""
    first, second = ellipses(300, 300, 1), ellipses(300, 300, 5)
    small = encode(Image.fromarray(first).resize((150, 150)), "JPEG", quality=90)
    moving = animation([first, second], "PNG")
    folder = folder_of(
        tmp_path,
        adult_a=encode(first, "PNG"),
        adult_b=encode(second, "PNG"),
        adult_flat=encode(plain([255, 0, 0]), "PNG"),
        safe_flat=encode(plain([250, 0, 0]), "PNG"),
        safe_a=small,
        safe_moving=moving,
        safe_once_more=encode(first, "PNG"),  # the same bytes: under both labels, and so not there
        safe_tiny=encode(Image.fromarray(first).resize((31, 31)), "PNG"),
        safe_other=encode(first, "PNG", compress_level=1),
    )
    found = scored(folder, classifiers)
    assert found.gathering.contradictions == (str(folder / "adult/a.img"), str(folder / "safe/once_more.img"))
    # safe/a comes before safe/other, and is its copy; the rest are like nothing before them.
    assert found.gathering.near_copies == 1


def test_near_copies_are_those_that_comparing_each_with_each_finds():
    chance = np.random.default_rng(3)
    base = chance.integers(0, 2, (40, 256), np.uint8)
    copies = base[chance.integers(0, 40, 400)]
    for row, flips in zip(copies, chance.integers(0, 60, 400), strict=True):
        row[chance.choice(256, flips, replace=False)] ^= 1
    bits = np.concatenate([base, copies, copies[::7]])[chance.permutation(40 + 400 + 58)]
    expected = sum(any(np.count_nonzero(bits[i] != bits[j]) <= 31 for j in range(i)) for i in range(len(bits)))
    assert count_near(np.packbits(bits, axis=1)) == expected > 100


def test_a_family_of_copies_is_counted_without_comparing_each_with_each():
    hashes = np.zeros((50_000, 32), np.uint8)
    started = time.perf_counter()
    assert count_near(hashes) == 49_999
    assert time.perf_counter() - started < 5


# --- The cache --------------------------------------------------------------------------------------------------------


def asked(classifiers: dict[str, Counting]) -> dict[str, int]:
    return {name: classifier.asked for name, classifier in classifiers.items()}


def test_what_was_scored_is_not_scored_again_and_says_the_same(tmp_path: Path, classifiers, cache: ScoreCache):
    folder = varied(tmp_path)
    first = scored(folder, classifiers, cache=cache)
    once = asked(classifiers)
    assert once["colour"] == first._rows > 0
    assert same(scored(folder, classifiers, cache=cache), first)
    assert asked(classifiers) == once
    assert same(scored(folder, classifiers), first)


def test_only_models_that_are_missing_are_asked(tmp_path: Path, classifiers, cache: ScoreCache):
    folder = varied(tmp_path)
    scored(folder, {"redness": classifiers["redness"]}, cache=cache)
    found = scored(folder, classifiers, cache=cache)
    assert asked(classifiers) == {"colour": found._rows, "redness": found._rows}
    assert same(found, scored(folder, classifiers))


def test_a_file_that_was_moved_is_known_and_one_that_was_changed_is_not(tmp_path: Path, classifiers, cache: ScoreCache):
    folder = folder_of(tmp_path, safe_a=encode(plain([1, 0, 0], 40), "PNG"), safe_b=encode(plain([2, 0, 0], 40), "PNG"))
    scored(folder, classifiers, cache=cache)
    (folder / "safe/a.img").rename(folder / "safe/c.img")
    (folder / "safe/b.img").write_bytes(encode(plain([9, 0, 0], 40), "PNG"))
    found = scored(folder, classifiers, cache=cache)
    assert asked(classifiers)["colour"] == 3
    assert found.scores["redness"]["redness"] == pytest.approx([9 / 255, 1 / 255], abs=1e-6)


@pytest.mark.parametrize(
    "change", [{"fidelity": Fidelity.REFERENCE}, {"limits": DecodeLimits(max_sampled_frames=2)}], ids=str
)
def test_other_ways_of_looking_are_other_scores(tmp_path: Path, classifiers, cache: ScoreCache, change):
    folder = varied(tmp_path)
    first = scored(folder, classifiers, cache=cache)
    other = scored(folder, classifiers, cache=cache, **change)
    assert not same(first, other)
    assert same(other, scored(folder, classifiers, **change))


def test_an_image_that_failed_is_tried_again(tmp_path: Path, classifiers, cache: ScoreCache):
    """It may have been the machine's fault."""
    folder = varied(tmp_path)
    limits = DecodeLimits(max_bytes=100)
    assert scored(folder, classifiers, cache=cache, limits=limits).gathering.failures["too_large"] > 0
    assert same(scored(folder, classifiers, cache=cache), scored(folder, classifiers))


def test_entries_that_do_not_go_together_are_not_put_together(tmp_path: Path, classifiers, cache: ScoreCache):
    """One model's are of another number of pictures than the other's: the image is looked at again, and both are asked."""
    folder = folder_of(tmp_path, safe_frames=animation([plain([60 * i, 9, 9], 40) for i in range(4)]))
    first = scored(folder, classifiers, cache=cache)
    scorer = Scorer(classifiers, cache=cache)
    digest = hashlib.sha256((folder / "safe/frames.img").read_bytes()).digest()
    entry = cache.get(digest, scorer._versions)["colour"]
    cache.put(digest, {"colour": replace(entry, rows=entry.rows[:2])}, scorer._versions)
    assert same(scored(folder, classifiers, cache=cache), first)
    assert asked(classifiers) == {"colour": 8, "redness": 4}


def test_a_cache_that_is_damaged_ends_the_work_with_its_name(tmp_path: Path, classifiers):
    folder = varied(tmp_path)
    path = tmp_path / "scores.sqlite3"
    with ScoreCache(path) as cache:
        scored(folder, classifiers, cache=cache)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE scores SET entry = replace(entry, '0.', '1.')")
    connection.close()
    with ScoreCache(path) as cache, pytest.raises(StorageUnavailable, match=r"scores\.sqlite3"):
        scored(folder, classifiers, cache=cache)


KILLED = """
import signal, sys, time
from pathlib import Path
from demure.classifier import Classifier, Classifiers
from demure.evaluation.labels import read_labels
from demure.models import Registry
from demure.score_cache import ScoreCache
from demure.scoring import score_labels
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without
folder, models, path = map(Path, sys.argv[1:])
known = Classifiers(Registry(models))
with ScoreCache(path) as cache:
    score_labels(
        read_labels(folder, model="colour"), {n: known[n] for n in ("colour", "redness")}, cache=cache, threads=2,
        on_progress=lambda done, _: (print(done, flush=True), time.sleep(60 if done == 120 else 0.004)),
    )
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_half_way_is_gone_on_with(tmp_path: Path, models_dir: Path, classifiers, how):
    names = range(160)
    folder = folder_of(tmp_path, **{f"safe_{n:03}": encode(plain([n, 0, 7], 40), "PNG") for n in names})
    path = tmp_path / "scores.sqlite3"
    command = [sys.executable, "-c", KILLED, str(folder), str(models_dir), str(path)]
    # With threads of its own for each fingerprint, a child on a busy machine takes ten times as long.
    quick = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=quick, text=True, **quiet) as process:
        done = 0
        for line in process.stdout:
            done = int(line)
            if done == 120:
                process.send_signal(how)
        process.wait(timeout=20)
    assert process.returncode in (-signal.SIGKILL, -signal.SIGINT, 1)
    assert done == 120
    connection = sqlite3.connect(path)
    ((kept,),) = connection.execute("SELECT count(DISTINCT sha256) FROM scores")
    connection.close()
    assert kept >= (20 if how is signal.SIGKILL else done)  # the last hundred may be on their way to the disk
    with ScoreCache(path) as cache:
        found = scored(folder, classifiers, cache=cache)
    assert asked(classifiers) == {"colour": 160 - kept, "redness": 160 - kept}
    assert found.scores["redness"]["redness"] == pytest.approx(np.arange(160) / 255, abs=1e-6)


def test_stopping_half_way_keeps_what_was_scored(tmp_path: Path, classifiers):
    folder = varied(tmp_path)

    def stop(done: int, _total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    path = tmp_path / "scores.sqlite3"
    with ScoreCache(path) as cache, suppress(KeyboardInterrupt):
        scored(folder, classifiers, cache=cache, on_progress=stop, threads=1)
    before = asked(classifiers)["colour"]
    with ScoreCache(path) as cache:
        whole = scored(folder, classifiers, cache=cache)
    assert before > 0
    assert asked(classifiers)["colour"] == whole._rows
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("fetching", "ThreadPool"))]


# --- URLs -------------------------------------------------------------------------------------------------------------


def url_list(tmp_path: Path, urls: list[str]) -> LabelledImages:
    (tmp_path / "urls.csv").write_text("url,label\n" + "".join(f"{url},safe\n" for url in urls))
    labels = read_labels(tmp_path / "urls.csv", model="colour")
    assert isinstance(labels, LabelledImages)
    return labels


def test_urls_are_fetched_and_those_that_fail_are_counted(tmp_path: Path, classifiers, cache: ScoreCache):
    with ImageServer() as server:
        urls = [server.url(f"/{n}.png", encode(plain([n, 0, 0], 40), "PNG")) for n in range(40)]
        urls[7:7] = [server.url("/absent.png"), server.url("/text", b"no image"), "http://10.0.0.1/metadata", "http://"]
        labels = url_list(tmp_path, urls)
        found = score_labels(labels, classifiers, fetch=FETCH, cache=cache, threads=3)
    assert found.scores["redness"]["redness"] == pytest.approx(np.arange(40) / 255, abs=1e-6)
    assert found.ids == [url for url in urls if url.endswith(".png") and "absent" not in url]
    assert found.gathering.failures == {"upstream_status": 1, "not_an_image": 1, "url_not_allowed": 2}


def test_without_leave_no_private_address_is_asked(tmp_path: Path, classifiers):
    with ImageServer() as server:
        labels = url_list(tmp_path, [server.url("/a.png", encode(plain([1, 0, 0], 40), "PNG"))])
        assert score_labels(labels, classifiers).gathering.failures == {"url_not_allowed": 1}
        assert server.asked == []


def test_a_host_is_asked_for_two_images_at_once(tmp_path: Path, classifiers):
    data = encode(plain([1, 0, 0], 40), "PNG")
    with ImageServer() as server:
        labels = url_list(tmp_path, [server.url(f"/{n}.png", data + bytes(n)) for n in range(12)])
        with server.holding():
            worker = threading.Thread(
                target=score_labels, args=(labels, classifiers), kwargs={"fetch": FETCH, "threads": 6}
            )
            worker.start()
            time.sleep(0.5)
            held = len(server.asked)
        worker.join()
    assert held == PER_HOST == 2
    assert len(server.asked) == 12


def test_a_slow_host_does_not_hold_up_another(tmp_path: Path, classifiers):
    """More URLs of the slow one are begun than there are threads, and places for what is fetched."""
    data = encode(plain([1, 0, 0], 40), "PNG")
    with ImageServer() as slow, ImageServer() as quick:
        quick_urls = [quick.url(f"/{n}.png", data + bytes(n)).replace("127.0.0.1", "localhost") for n in range(20)]
        labels = url_list(tmp_path, [*(slow.url(f"/{n}.png", data + bytes(99 + n)) for n in range(12)), *quick_urls])
        with slow.holding():
            worker = threading.Thread(
                target=score_labels, args=(labels, classifiers), kwargs={"fetch": FETCH, "threads": 2}
            )
            worker.start()
            end = time.monotonic() + 10
            while len(quick.asked) < 20 and time.monotonic() < end:
                time.sleep(0.01)
            early = len(quick.asked), len(slow.asked)
        worker.join()
    assert early == (20, 2)


def test_only_so_many_images_are_fetched_before_a_thread_is_free_for_them(classifiers):
    """Of all hosts together: here the work on the first waits, and only the second is asked for beside it."""
    data, scorer, gate = encode(plain([1, 0, 0], 40), "PNG"), Scorer(classifiers), threading.Event()

    def work(given: bytes) -> Scored:
        gate.wait(20)
        return scorer.score(given)

    async def then(given: bytes) -> Scored:
        return await asyncio.get_running_loop().run_in_executor(pool, work, given)

    with ImageServer() as server, ThreadPoolExecutor(1) as pool, Fetching(FETCH, 2) as fetching:
        begun = [fetching.begin(server.url(f"/{n}.png", data), then) for n in range(8)]
        time.sleep(0.3)
        held = len(server.asked)
        gate.set()
        assert [future.result(20).size for future in begun] == [(40, 40)] * 8
    assert held == 2


def test_files_and_urls_may_stand_in_one_list(tmp_path: Path, classifiers):
    (tmp_path / "a.png").write_bytes(encode(plain([10, 0, 0], 40), "PNG"))
    with ImageServer() as server:
        url = server.url("/b.png", encode(plain([20, 0, 0], 40), "PNG"))
        (tmp_path / "x.csv").write_text(f"path,url,label\na.png,,safe\n,{url},adult\n{url},,adult\n")
        found = score_labels(read_labels(tmp_path / "x.csv", model="colour"), classifiers, fetch=FETCH)
    assert (found.ids, found.gathering.duplicates) == (["a.png", url], 1)
    assert found.scores["redness"]["redness"] == pytest.approx([10 / 255, 20 / 255], abs=1e-6)


def test_stopping_ends_fetches_that_are_under_way(classifiers):
    data = encode(plain([1, 0, 0], 40), "PNG")
    with ImageServer() as server:
        urls = [server.url(f"/{n}.png", data) for n in range(9)]
        server.delay_s = 0.2
        started = time.perf_counter()
        with closing(score_all(urls, Scorer(classifiers), fetch=FETCH, threads=2)) as answers:
            next(answers)
        assert time.perf_counter() - started < 0.9  # all nine, two at once, take a second


# --- One image --------------------------------------------------------------------------------------------------------


def test_a_scorer_raises_what_is_wrong_with_one_image(tmp_path: Path, classifiers):
    scorer = Scorer(classifiers)
    with pytest.raises(NotAnImage):
        scorer.score(b"no image")
    with pytest.raises(SourceNotFound):
        scorer.read(tmp_path / "absent.png")
    found = scorer.score(encode(ellipses(64, 50, 1), "PNG"))
    assert (found.size, len(found.entries["colour"].rows)) == ((64, 50), 1)
    assert found.pdq is not None
    assert scorer.score(encode(plain([255, 0, 0]), "PNG")).pdq is None
    assert scorer.score(encode(np.tile(gradient(64, 64)[:1], (64, 1, 1)), "PNG")).pdq is None
    assert scorer.columns == (*(("colour", category) for category in Category), ("redness", "redness"))
