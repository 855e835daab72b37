"""The bench, without timing anything: its cells, its contestants' results, its files and its verdicts."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cecore
from cecore import _dispatch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
CELLS = pytest.importorskip("bench.cells", reason="the tests run without the bench").CELLS

from bench import __main__ as command  # noqa: E402
from bench import bandwidth, checks, compare, draw, goals, memory, ratios, readme, report, results, run, timing  # noqa: E402
from bench.contestants import PEERS, Contestant, cecore_at, contestants  # noqa: E402
from bench.peers import Skip, c_peer  # noqa: E402
from bench.results import BANDWIDTH, PLAIN_C  # noqa: E402

pytestmark = [pytest.mark.thread_unsafe, pytest.mark.filterwarnings("ignore")]  # the peers' warnings
COMPILED = ("JAX", "numba")  # torch.compile takes too long for a test
FEW = [
    c.name
    for c in CELLS.values()
    if c.results != "fresh" and c.classes < 32 and c.targets in ("hard", "soft", "labels") and not c.beyond
]


@pytest.fixture(autouse=True)
def _as_before():
    before = _dispatch.kernels
    with cecore.num_threads(1):
        yield
    _dispatch.kernels = before


def admitted(name, wanted, layout="contiguous", dtype="float64"):
    """Who takes part, and the words on the others."""
    cell = CELLS[name]
    size = max(40, cell.classes)
    field, absent = contestants([_dispatch.chosen], wanted)
    calls, skipped = run.admitted(
        cell, cell.problem(size, dtype, layout), run.Task(name, dtype, size, layout), field, threads=1
    )
    return {one.name for one in field}, calls, {**skipped, **absent}


KNOWN = {  # who is wrong, or raises an exception, on which targets
    "1 % NaN": {"PyTorch", "scikit-learn"},
    "subnormals": {"NumPy formula", "PyTorch", "SciPy", "numexpr"},
}


@pytest.mark.parametrize("name", CELLS)
def test_every_contestant_is_right_or_gives_a_word(name):
    wanted = [peer for peer in PEERS if peer not in (*COMPILED, "torch.compile")]
    field, calls, skipped = admitted(name, [*wanted, PLAIN_C])
    assert f"cecore/{_dispatch.chosen}" in calls
    assert field <= calls.keys() | skipped.keys()
    assert {*wanted, f"{PLAIN_C}{_dispatch.chosen}"} <= calls.keys() | skipped.keys()
    assert all(skipped.values())
    wrong = {peer for peer, word in skipped.items() if word.startswith(("raises", "wrong", "differs"))}
    assert wrong <= KNOWN.get(CELLS[name].targets, set())


@pytest.mark.parametrize("name", FEW[::2])
def test_compiled_contestants(name):
    _, calls, skipped = admitted(name, COMPILED)
    assert set(COMPILED) <= calls.keys() | skipped.keys()


@pytest.mark.parametrize(
    "name", ["bce forward_backward, hard, out=", "ce logits forward_backward, 3 classes, in place"]
)
def test_strided_cells(name):
    _, calls, _ = admitted(name, ["NumPy"], "strided", "float32")
    assert "NumPy formula" in calls


def test_a_strided_problem_is_strided_and_holds_the_same_numbers():
    cell = CELLS["bce forward_backward, weighted, out="]
    plain, strided = cell.problem(10, "float32"), cell.problem(10, "float32", "strided")
    for a, b in zip(plain.inputs, strided.inputs, strict=True):
        assert b.strides == (2 * a.itemsize,)
        np.testing.assert_array_equal(a, b)
    assert strided.outputs[0].strides == strided.x.strides


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_the_bandwidth_baseline_runs(name, threads, monkeypatch):
    monkeypatch.setattr(bandwidth, "LEAST", 0)
    monkeypatch.setattr(bandwidth, "LEAST_SHARED", 0)
    cell = CELLS[name]
    problem = cell.problem(max(40, cell.classes), "float64")
    if not cell.streams:
        with pytest.raises(Skip):
            bandwidth.bind(cell, problem, threads)
        return
    assert bandwidth.bind(cell, problem, threads)() is None


def test_what_names_cells_names_those_that_there_are():
    shown = [row.cell for row in readme.ROWS]
    limited = {name for name, _ in goals.BANDWIDTH_LIMITS}
    for names in (limited, goals.THREADED, goals.SMALL, command.QUICK, draw.SIZED, draw.SHOWN, shown):
        assert set(names) <= CELLS.keys()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.ordinary and cell.results != "fresh"])
def test_plain_c_is_right_or_has_no_loop(name, dtype):
    try:
        c_peer.libraries(_dispatch.chosen)
    except ImportError as error:
        pytest.skip(str(error))
    _, calls, skipped = admitted(name, [PLAIN_C], dtype=CELLS[name].dtypes[0] if CELLS[name].dtypes else dtype)
    plain = f"{PLAIN_C}{_dispatch.chosen}"
    words = ("no loop", "not written", "only contiguous", "only targets")
    assert plain in calls or skipped[plain].startswith(words)


def test_plain_c_without_a_compiler_is_skipped(monkeypatch):
    for compiler, word in (["no-such-compiler"], "no compiler"), (["false"], "the compiler fails"):
        monkeypatch.setattr(c_peer, "COMPILER", compiler)
        c_peer.libraries.cache_clear()
        _, absent = contestants([_dispatch.chosen], [PLAIN_C])
        assert absent[f"{PLAIN_C}{_dispatch.chosen}"].startswith(word)
    c_peer.libraries.cache_clear()


def test_plain_c_has_the_losses_that_everyone_writes():
    try:
        c_peer.libraries(_dispatch.chosen)
    except ImportError as error:
        pytest.skip(str(error))
    for name in (*command.QUICK, "bce forward, soft", "bce forward_backward, soft, out="):
        _, calls, _ = admitted(name, [PLAIN_C])
        assert f"{PLAIN_C}{_dispatch.chosen}" in calls


def test_a_peer_that_is_far_from_the_fastest_can_be_left_out():
    made = vars(record(ours=1e-3, peers=3e-3, baseline_time=0.1e-3, size=100_000))
    assert run.hopeless(made) == {"PyTorch": "more than 3 times as slow as the fastest at 100,000 elements"}
    made = vars(record(ours=1e-3, peers=5e-3))
    assert run.hopeless(made).keys() == {"PyTorch"}  # the NumPy formula always takes part


# ---------------------------------------------------------------- the tables of ratios


VARIANTS = {
    cell.name: cell
    for group in ratios.GROUPS.values()
    for cell in group.variants.values()
    if cell.classes in (1, 3, 10, 100)
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_calls_of_the_tables_of_ratios_are_right(name):
    cell = VARIANTS[name]
    if cell.unusual == "2 % of rows with +inf" and cell.classes > 32:
        pytest.skip("the NumPy formula gives NaN")
    size = 300 if cell.unusual else 40  # so that there is an unusual row
    checks.check(cell, max(size, 3 * cell.classes), "float64", "contiguous", cecore_at(_dispatch.chosen), 1)


@pytest.mark.parametrize("kind", list(ratios.UNUSUAL))
def test_unusual_rows_are_unusual(kind):
    plain = CELLS["ce logits forward_backward, 3 classes, out="]
    before, after = plain.problem(3000, "float32"), replace(plain, unusual=kind).problem(3000, "float32")
    np.testing.assert_array_equal(before.targets, after.targets)
    assert (before.x != after.x).any()
    assert not np.isneginf(after.x[np.arange(1000), after.targets]).any()


def test_ratios_are_measured_and_reported(tmp_path):
    effort, probe = timing.Effort(rounds=1, seconds=0.01, patience=0.0), Unquiet([])
    found = [
        one
        for table, name in [
            ("rows", "ce logits forward_backward, 3 classes"),
            ("options", "bce forward_backward, hard"),
        ]
        for one in ratios.measured(table, name, "float32", [_dispatch.chosen], effort, probe, size=300)
    ]
    made = stored(record())
    made.ratios = found
    made.save(tmp_path / "run.json")
    assert results.Run.load(tmp_path / "run.json") == made
    text = report.report(made)
    assert "Unusual rows" in text
    assert "30 % masked" in text
    assert "rows, ce logits forward_backward, 3 classes, float32" in text
    assert "## Options" in draw.results_page(made)


def ratio_record(table="rows", group="ce logits forward_backward, 3 classes", dtype="float64", **times):
    timings = {name: {"median": time, "spread": 0, "rounds": 9, "disturbed": 0} for name, time in times.items()}
    return results.Ratios(table, group, dtype, "x86_v4", 1000, timings)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (ratio_record(plain=1, a=1.2, b=1.6), "MISS  rows, {}, float64, AVX-512: b 1.60x, wanted 1.5x"),
        (ratio_record(plain=1, a=1.2, b=1.1), "PASS  rows, {}, float64, AVX-512: a 1.20x, wanted 1.5x"),
        (
            ratio_record("options", plain=1, smoothing=1.6, distribution=1.9),
            "MISS  options, {}, float64, AVX-512: smoothing 1.60x, wanted 1.5x",
        ),
        (
            ratio_record("options", "bce forward_backward, hard", "float32", plain=1, smoothing=1.7, soft=3),
            "PASS  options, {}, float32, AVX-512: smoothing 1.70x, wanted 1.8x",
        ),
        (
            ratio_record("options", "bce logits forward_backward, hard", "float32", plain=1, smoothing=1.7),
            "MISS  options, {}, float32, AVX-512: smoothing 1.70x, wanted 1.5x",
        ),
    ],
)
def test_verdicts_on_ratios(found, line):
    made = stored()
    made.ratios = [found]
    assert line.format(found.group) in {str(verdict) for verdict in goals.verdicts(made)}


# ---------------------------------------------------------------- stored runs


def record(cell="bce forward, hard", ours=1e-3, peers=10e-3, baseline_time=0.8e-3, **changed):
    times = {
        "cecore/x86_v3": ours,
        "cecore/x86_v4": ours,
        "NumPy formula": peers,
        "PyTorch": 2 * peers,
        BANDWIDTH: baseline_time,
    }
    timings = {name: {"median": time, "spread": 0.01, "rounds": 9, "disturbed": 0} for name, time in times.items()}
    made = results.Record(cell, "float64", 10_000_000, 1, "contiguous", 10_000_000, timings, {"JAX": "not installed"})
    return replace(made, **changed)


def stored(*records, **parts):
    machine = {**results.machine(), "load": parts.get("load", 0.0)}
    return results.Run(machine, parts.get("processes", []), parts.get("imports", {}), list(records))


def compared(new, old):
    return compare.compared(old, new, ["x86_v3", "x86_v4"])


def test_a_run_is_the_same_after_json(tmp_path):
    path = tmp_path / "run.json"
    before = stored(record(), record("bce forward, int8"), imports={"numpy_ms": 60.0, "added_ms": 5.0})
    before.save(path)
    assert results.Run.load(path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("slower", [1, 2])
def test_an_equal_run_has_no_regression_even_on_a_slower_machine(slower):
    old, new = stored(record()), stored(record(ours=slower * 1e-3, peers=slower * 10e-3, baseline_time=slower * 0.8e-3))
    assert compared(new, old) == ("2 timings compared, 0 regressions", True)


def test_a_slower_cell_is_a_regression():
    old, new = stored(record(), record("bce forward, int8")), stored(record(ours=1.3e-3), record("bce forward, int8"))
    text, fine = compared(new, old)
    assert not fine
    assert "4 timings compared, 2 regressions" in text
    assert "bce forward, hard" in text
    assert "1.30" in text
    assert "int8" not in text


def test_a_busy_machine_is_named():
    assert "busy" in compared(stored(record()), stored(record(), load=2.0))[0]
    assert "busy" in report.report(stored(record(), load=2.0))
    assert "busy" not in report.report(stored(record()))


def test_noise_is_no_regression():
    noisy = {name: {**timing, "spread": 0.4} for name, timing in record(ours=1.3e-3).timings.items()}
    assert compared(stored(record(timings=noisy)), stored(record()))[1]
    certain = {name: {**timing, "rounds": 25} for name, timing in noisy.items()}
    assert not compared(stored(record(timings=certain)), stored(record()))[1]


def test_nothing_to_compare_is_no_success():
    text, fine = compared(stored(record(size=1000)), stored(record()))
    assert not fine
    assert "no cell in common" in text


def test_a_level_that_has_gone_is_named():
    text, fine = compare.compared(stored(record()), stored(record()), ["x86_v3"])
    assert not fine
    assert "AVX-512 was measured in the old run, but is not usable now" in text


def test_a_slower_version_of_a_peer_hides_no_regression():
    old, new = stored(record()), stored(record(ours=1.9e-3, peers=20e-3))
    old.machine["versions"] = {**old.machine["versions"], "numpy": "1.0", "torch": "1.0"}
    new.machine["versions"] = {**new.machine["versions"], "torch": "2.0"}
    text, fine = compared(new, old)
    assert not fine
    assert "1.90" in text
    assert "numpy, torch" in text


def test_another_cpu_is_named():
    old = stored(record())
    old.machine["cpu"] = "a slide rule"
    assert "the old run was made on another CPU: a slide rule" in compared(stored(record()), old)[0]


@pytest.mark.parametrize(("ours", "near"), [(0.9e-3, True), (2e-3, False)])
def test_verdicts(ours, near):
    found = {str(verdict) for verdict in goals.verdicts(stored(record(ours=ours)))}
    word, figure = "PASS" if near else "MISS", f"{ours / 0.8e-3:.2f}x the bandwidth baseline; wanted at most 1.6x"
    assert f"{word}  bce forward, hard, float64, AVX2: {figure}" in found
    assert "----  bce forward, hard, float32, AVX2: (not measured)" in found


@pytest.mark.parametrize(
    ("peers", "word", "tenth", "noise"), [(2, "PASS", 0, 0), (0.93, "PASS", 0, 1), (0.8, "MISS", 1, 1)]
)
def test_the_goal_counts_the_cells_in_which_a_peer_is_faster(peers, word, tenth, noise):
    found = {str(verdict) for verdict in goals.verdicts(stored(record(peers=peers * 1e-3)))}
    counts = f"by more than 10% in {tenth}, by more than 5% in {noise} of 1 cells"
    assert f"{word}  a peer is faster, 10,000,000 elements: {counts}" in found
    assert "----  a peer is faster, 1,000 elements: (not measured)" in found


def test_each_level_is_compared_with_plain_c_of_its_own_level():
    made = record()
    timings = {**made.timings, f"{PLAIN_C}x86_v3": made.timings["cecore/x86_v3"] | {"median": 0.5e-3}}
    found = {str(verdict) for verdict in goals.verdicts(stored(replace(made, timings=timings)))}
    counts = "by more than 10% in 1, by more than 5% in 1 of 1 cells"
    assert f"MISS  plain C is faster, both compiled for AVX2: {counts}" in found
    assert "----  plain C is faster, both compiled for AVX-512: (not measured)" in found


def test_a_faster_peer_is_named():
    text = report.report(stored(record(peers=0.5e-3)))
    assert "Where a peer is faster" in text
    assert "not installed" in text


def test_threads_are_compared():
    slow = record("bce forward, soft")
    fast = record("bce forward, soft", ours=0.5e-3, threads=2)
    text = report.report(stored(slow, fast))
    assert "PASS  bce forward, soft, float64, contiguous, two threads: 2.00x one thread; wanted 1.9x" in text


@pytest.mark.parametrize(("baseline_time", "word"), [(0.7e-3, "PASS"), (0.4e-3, "MISS")])
def test_threads_need_not_gain_more_than_the_memory_allows(baseline_time, word):
    fast = record(ours=0.8e-3, baseline_time=baseline_time, threads=2)
    text = report.report(stored(record(), fast))
    assert f"{word}  bce forward, hard, float64, contiguous, two threads: 1.25x one thread; wanted 1.9x" in text


def test_the_baseline_is_compared_at_ten_million_elements():
    found = {str(verdict) for verdict in goals.verdicts(stored(record(size=1_000_000)))}
    assert "----  bce forward, hard, float64, AVX2: (not measured)" in found


def test_cpus_of_one_core_are_named():
    process = {"threads": 2, "affinity": [0, 1], "absent": {}}
    assert "share a core" in report.report(stored(record(), processes=[{**process, "siblings": ["0-1", "0-1"]}]))
    assert "share a core" not in report.report(stored(record(), processes=[{**process, "siblings": ["0", "1"]}]))
    assert "share a core" not in report.report(stored(record(), processes=[{**process, "siblings": ["", ""]}]))


def test_the_table():
    assert report.table(("a", "b"), [("long name", "1.0")], left=1) == (
        "| a         |   b |\n| --------- | --: |\n| long name | 1.0 |"
    )


def readme_record(row, **skipped):
    times = {"cecore/x86_v4": 1e-3, "NumPy formula": 14e-3, "scikit-learn": 120e-3, "PyTorch": 0.9e-3}
    timings = {
        name: {"median": time, "spread": 0.01, "rounds": 9, "disturbed": 0, "extra_kib": 16_000}
        for name, time in times.items()
        if name not in skipped
    }
    return results.Record(row.cell, row.dtype, row.size, 1, "contiguous", row.size, timings, skipped)


def readme_run(**skipped):
    run = stored(*(readme_record(row, **skipped) for row in readme.ROWS))
    run.machine["versions"] = dict.fromkeys(readme.NAMES, "1.2.3") | {"cecore": cecore.__version__}
    return run


def test_the_readme_shows_the_stored_run_between_its_markers():
    text = (ROOT / "README.md").read_text()
    assert readme.SECTION.search(text)
    if readme.STORED.exists():  # not in an sdist
        assert readme.SECTION.search(text).group() == readme.section(results.Run.load(readme.STORED))


def test_the_first_lines_of_the_readme_agree_with_its_table():
    text = (ROOT / "README.md").read_text()
    claim = "more than twice as fast as the NumPy formula and more than 40 times as fast as `log_loss`"
    assert claim in " ".join(text.split())
    rows = [line.split("|") for line in readme.SECTION.search(text).group().splitlines() if " ms, " in line]
    assert len(rows) == len(readme.ROWS)
    for column, least in (3, 2), (4, 40):  # the NumPy formula, log_loss
        shown = [re.match(r" +([\d.]+)x slower,|( +- )", row[column]) for row in rows]
        assert all(shown)
        assert min(float(cell[1]) for cell in shown if cell[1]) > least


def test_the_table_of_the_readme(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("\n".join(("before", *readme.MARKERS, "after")))
    readme.write(readme_run(), page)
    before, marker, *shown, end, after = page.read_text().splitlines()
    assert (before, marker, end, after) == ("before", *readme.MARKERS, "after")
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in shown if line.startswith("|")]
    assert rows[0] == [readme.HEADING, "cecore", "NumPy formula", "`log_loss`", "PyTorch"]
    assert [row[0] for row in rows[2:]] == [row.title for row in readme.ROWS]
    assert rows[2][1:] == ["1.00 ms, 16 MB", "14x slower, 16 MB", "120x slower, 16 MB", "1.1x faster, 16 MB"]
    assert rows[-1][3] == "-"  # log_loss takes no logits
    assert f"cecore {cecore.__version__} (AVX-512)" in readme.caption(readme_run()).replace("\n", " ")
    readme.write(readme_run(), page)
    assert page.read_text().count(rows[2][0]) == 1  # it replaces the old table


def test_a_readme_without_markers_or_with_a_peer_missing_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="no lines"):
        readme.write(readme_run(), page)
    with pytest.raises(SystemExit, match=r"PyTorch was not measured \(wrong value"):
        readme.short_table(readme_run(PyTorch="wrong value: off by 1.0e+00"))
    with pytest.raises(SystemExit, match="the run has no measurement of 'bce forward, hard'"):
        readme.short_table(stored())


def test_extra_memory_is_measured_or_unknown(monkeypatch):
    x = np.ones(1_000_000)
    if memory.extra_kib(lambda: x + 1) is None:
        pytest.skip("this system does not report the peak of memory")
    assert abs(memory.extra_kib(lambda: x + 1)) < 1000
    assert abs(memory.extra_kib(lambda: np.sum(x + 1)) - x.nbytes // 1024) < 1000
    monkeypatch.setattr(memory, "peak_growth", lambda call: (0, 1000))
    assert memory.extra_kib(lambda: x + 1) is None


def test_the_page_of_results_has_the_most_used_calls_first():
    page = draw.results_page(stored(record(), processes=[]))
    assert "cecore, AVX-512" in draw.first_table(stored(record()))
    places = [page.index(text) for text in (draw.first_table(stored(record())), draw.PICTURE, "## Ratios", "## Goals")]
    assert places == sorted(places)
    assert "by more than 10% in 0, by more than 5% in 0 of 1 cells" in " ".join(page.split())
    assert "Where a peer is faster" not in page


def test_a_faster_peer_is_listed_on_the_page_of_results():
    page = draw.results_page(stored(record(peers=0.5e-3)))
    assert "by more than 10% in 1, by more than 5% in 1 of 1 cells" in " ".join(page.split())
    assert "(#where-a-peer-is-faster)" in page
    assert "## Where a peer is faster" in page


def test_files_with_the_former_name_of_the_bandwidth_baseline_load(tmp_path):
    path = tmp_path / "run.json"
    skipped = {BANDWIDTH: "too small"}
    stored(record(), record("bce forward, int8", skipped=skipped)).save(path)
    path.write_text(path.read_text().replace(BANDWIDTH, "memory floor"))
    first, second = results.Run.load(path).cells
    assert first.to_bandwidth("cecore/x86_v4") == 1e-3 / 0.8e-3
    assert second.skipped == skipped


def test_charts_are_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    classes = [record(f"ce logits forward_backward, {c} classes, out=") for c in (2, 10)]
    made = stored(record(), record(size=1000, elements=1000), *classes)
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        draw.draw(made, folder)
    names = {file.name for file in (tmp_path / "a").iterdir()}
    assert names == {"results.md", "speed.svg", "sizes.svg", "classes.svg", "speed.json"}
    assert results.Run.load(tmp_path / "a" / "speed.json") == made
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert "| bce forward, hard" in (tmp_path / "a" / "results.md").read_text()


def test_processes_take_turns():
    plan = {"cells": ["bce forward, hard"], "dtypes": ["float64"], "sizes": [16, 17], "layouts": ["contiguous"]}
    plan |= {
        "more": [],
        "levels": [_dispatch.chosen],
        "contestants": ["NumPy"],
        "effort": {"rounds": 1, "seconds": 0.1, "patience": 1},
    }
    found = results.Run({})
    command.by_turns([1, 1], plan, found, None)
    assert [process["threads"] for process in found.processes] == [1, 1]
    assert [record.size for record in found.cells] == [16, 16, 17, 17]


def test_a_process_that_fails_is_named():
    with pytest.raises(SystemExit, match="the process with 1 threads ended with status 1"):
        command.by_turns([1], {}, results.Run({}), None)


# ---------------------------------------------------------------- checks and timings


def contestant(name, result, relative=False):
    return Contestant(name, lambda cell, problem, threads: lambda: result(problem.x), lambda *_: 1.0, relative=relative)


def whole(x):
    return np.float64(0.7 if x.size <= 1000 else 70)


@pytest.mark.parametrize("alone", [False, True])
def test_the_majority_decides_who_is_wrong_on_the_whole_array(alone):
    """Beyond the first elements, which the reference judges."""
    cell, task = CELLS["bce forward, hard"], run.Task("bce forward, hard", "float64", 2000, "contiguous")
    field = [contestant("cecore/baseline", whole, relative=True), contestant("a", whole)]
    field += [contestant(name, lambda x: np.float64(0.7)) for name in ("b", "c")[: 1 if alone else 2]]
    problem = cell.problem(task.size, task.dtype)
    if alone:
        calls, skipped = run.admitted(cell, problem, task, field, threads=1)
        assert calls.keys() == {"cecore/baseline", "a"}
        assert skipped == {"b": "differs from cecore on the whole array"}
    else:
        with pytest.raises(SystemExit, match="cecore differs from b, c on the whole array"):
            run.admitted(cell, problem, task, field, threads=1)


def test_disturbed_timings_count_only_where_there_are_few_quiet_ones():
    quiet, slow = [(1.0, True)] * 3, [(5.0, False)] * 4
    assert timing.Timing.of(quiet + slow, True) == timing.Timing(1.0, 0.0, 3, 0)
    assert timing.Timing.of(quiet[:2] + slow, False) == timing.Timing(5.0, 0.6, 6, 4)


class Unquiet:
    """A probe that reports a noisy neighbour a few times."""

    def __init__(self, words):
        self.words = words

    def quiet(self):
        return self.words.pop(0) if self.words else True


def test_a_disturbed_timing_is_repeated():
    calls = {"a": lambda: None}
    effort = timing.Effort(rounds=4, seconds=1.0, patience=1000.0)
    select = {"a": lambda: None}
    probe = Unquiet([False, False, True, False])  # waits for two; the one after is discarded
    assert timing.interleaved(calls, select, effort, False, probe)["a"].rounds == 4
    hasty = timing.interleaved(calls, select, replace(effort, patience=0.0), False, Unquiet([False] * 100))
    assert hasty["a"].rounds == hasty["a"].disturbed == 4
