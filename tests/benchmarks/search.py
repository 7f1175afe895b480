"""The benchmark of the searches: ``python -m tests.benchmarks.search --help``.

How near each algorithm comes to the minimum, with 1 and with 10 workers, against Optuna's own study
with the same sampler and against random search; how much of the fidelity ASHA and Hyperband need
for what random search reaches with all of it; what one suggestion costs. Whether ours differs from
its peer is told by a signed-rank test over the seeds, and over all seeds of all problems.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

from orion_hpc.model.space import Space
from tests.benchmarks import searches
from tests.benchmarks.problems import MULTI, PROBLEMS, Problem
from tests.benchmarks.report import machine
from tests.benchmarks.verdicts import overall, quartiles, verdict, wins

WORKERS = (1, 10)
HALVING: dict[str, Any] = {
    "asha": "asha",
    "asha tpe": {"asha": {"sampler": "tpe"}},
    "hyperband": "hyperband",
    "hyperband tpe": {"hyperband": {"sampler": "tpe"}},
}
_MOST_SHARE = 1 / 3
_MOST_RATIO, _AT_TRIALS = 1.2, 10_000

Trace = list[float]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write JSON and a picture."""
    options = _parser().parse_args(words)
    if options.short:
        options.problems, options.algorithms = ["branin", "mixed"], ["random", "tpe"]
        options.seeds, options.trials, options.sizes = 2, 20, [100]
        options.multi, options.halving = ["biased branin"], ["asha", "hyperband"]
        options.full_trials = [30]
    started = time.time()
    found: dict[str, Any] = {
        "machine": machine(tempfile.gettempdir()),
        "options": {key: value for key, value in vars(options).items() if value is not None},
    }
    with ProcessPoolExecutor(options.processes) as pool:
        found["left_out"] = leave_out(pool, options)
        found["regret"] = regrets(pool, options)
        found["fidelity"] = fidelities(pool, options)
    found["overall"] = summary(found["regret"])
    found["speed"] = [speed(name, size) for name in options.fast for size in options.sizes]
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items()))
    for table in ("regret", "overall", "fidelity", "speed"):
        print(_table(found[table]))
        print()
    for name, why in found["left_out"].items():
        print(f"{name} is left out: {why}")
    print(f"{time.time() - started:.0f} s")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(_finite(found), file, indent=1, allow_nan=False)
    if options.picture and found["regret"]:
        draw(found["regret"], options.picture)
    return 0


def leave_out(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, str]:
    """Take algorithms that can't run here out of the options; return why by name."""
    asked = {name: searches.ALGORITHMS[name] for name in (*options.algorithms, *options.fast)}
    asked.update((name, HALVING[name]) for name in options.halving)
    # Not in this process: a library that starts threads mustn't be there when others are forked.
    jobs = {name: pool.submit(_lacks, name, one) for name, one in asked.items()}
    lacking = {name: why for name, job in jobs.items() if (why := job.result())}
    for key in ("algorithms", "fast", "halving"):
        setattr(options, key, [one for one in getattr(options, key) if one not in lacking])
    return lacking


def _lacks(name: str, configuration: Any) -> str:
    """Return what an algorithm, or its peer, lacks on this machine."""
    from orion_hpc.algorithms.factory import make_algorithm
    from orion_hpc.errors import ConfigurationError

    try:
        make_algorithm(configuration, Space.parse(MULTI["biased branin"].space))
        if name in searches.ALGORITHMS:
            searches.sampler(name, 0)
    except ConfigurationError as error:
        return error.message
    except ImportError as error:
        return str(error)
    return ""


def regrets(pool: ProcessPoolExecutor, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a line for each problem, number of workers and algorithm."""
    cases = list(product(options.problems, WORKERS, options.algorithms))
    jobs = {
        (*case, seed, ours): pool.submit(_trace, *case, seed, options.trials, ours)
        for case in cases
        for seed in range(options.seeds)
        for ours in (True, False)
    }
    traces = {}
    for done, (key, job) in enumerate(jobs.items()):
        traces[key] = job.result()
        if (done + 1) % 100 == 0:
            print(f"{done + 1} of {len(jobs)} searches", file=sys.stderr, flush=True)
    lines: list[dict[str, Any]] = []
    for problem, workers, algorithm in cases:
        optimum = PROBLEMS[problem].optimum
        if optimum is None:
            optimum = min(trace[-1] for key, trace in traces.items() if key[0] == problem)
        mine, theirs, at_random = (
            [
                [value - optimum for value in traces[problem, workers, name, seed, ours]]
                for seed in range(options.seeds)
            ]
            if name in options.algorithms
            else []
            for name, ours in ((algorithm, True), (algorithm, False), ("random", True))
        )
        peers = _pairs(mine, theirs)
        randoms = _pairs(mine, at_random) if at_random and algorithm != "random" else []
        lines.append(
            {
                "problem": problem,
                "workers": workers,
                "algorithm": algorithm,
                "ours": quartiles([one[-1] for one in mine]),
                "optuna": quartiles([one[-1] for one in theirs]),
                "random": quartiles([one[-1] for one in at_random]) if at_random else "",
                "against_optuna": verdict(peers),
                "against_random": verdict(randoms) if randoms else "",
                "pairs": peers,
                "pairs_with_random": randoms,
                "curve": [statistics.median(values) for values in zip(*mine, strict=True)],
                "optunas_curve": [statistics.median(v) for v in zip(*theirs, strict=True)],
            }
        )
    return lines


def _pairs(ours: Sequence[Trace], others: Sequence[Trace]) -> list[tuple[float, float]]:
    """Return the ends of searches with the same seed."""
    return [(one[-1], other[-1]) for one, other in zip(ours, others, strict=True)]


def summary(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each algorithm and number of workers: how it does over all problems."""
    told = []
    for workers, algorithm in dict.fromkeys((one["workers"], one["algorithm"]) for one in lines):
        own = [one for one in lines if (one["workers"], one["algorithm"]) == (workers, algorithm)]
        line = {"workers": workers, "algorithm": algorithm, "problems": len(own)}
        for name, key in (("optuna", "pairs"), ("random", "pairs_with_random")):
            problems = [one[key] for one in own if one[key]]
            line[f"better : worse than {name}"] = wins(problems) if problems else ""
            line[f"against_{name}"] = overall(problems) if problems else ""
        told.append(line)
    return told


def _trace(problem: str, workers: int, algorithm: str, seed: int, trials: int, ours: bool) -> Trace:
    """Return the least objective after each trial."""
    one = PROBLEMS[problem]
    # From one seed the same points would be drawn in every problem of as many dimensions, and what
    # is luck in one be luck in the others; they are counted as independent.
    seed = zlib.crc32(f"{problem}/{seed}".encode())
    if ours:
        configuration = searches.ALGORITHMS[algorithm]
        if algorithm == "qmc":
            configuration = {"qmc": {"seed": seed}}
        found = searches.ours(one, configuration, seed, workers, trials)
    else:
        found = searches.optunas(one, algorithm, seed, workers, trials)
    least, trace = float("inf"), []
    for _, value, _ in found:
        least = min(least, value)
        trace.append(least)
    return trace + [least] * (trials - len(trace))  # a space that was exhausted


def fidelities(pool: ProcessPoolExecutor, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return which share of random search's fidelity the halving ones need for its regret.

    No share can be less than that of the first trial of full fidelity, which is told beside it:
    with many workers and a small budget it alone may be more than a third, as all workers spend
    while the first point climbs.
    """
    cases = list(product(options.multi, WORKERS, options.full_trials))
    jobs = {
        (*case, name): [
            pool.submit(_at_full, *case, "random" if name == "random" else HALVING[name], seed)
            for seed in range(options.seeds)
        ]
        for case in cases
        for name in ("random", *options.halving)
        if options.halving
    }
    found = {key: [job.result() for job in several] for key, several in jobs.items()}
    lines = []
    for case, algorithm in product(cases, options.halving):
        goal = statistics.median(trace[-1][1] for trace in found[(*case, "random")])
        traces = found[(*case, algorithm)]
        firsts = [trace[0][0] if trace else math.inf for trace in traces]
        shares = [
            next((share for share, value in trace if value <= goal), math.inf) for trace in traces
        ]
        lines.append(
            {
                "problem": case[0],
                "workers": case[1],
                "random's trials": case[2],
                "algorithm": algorithm,
                "random ends at": goal,
                "ends at": quartiles([trace[-1][1] if trace else math.inf for trace in traces]),
                "first at full fidelity": statistics.median(firsts),
                "share of its fidelity": quartiles(shares),
                "never": sum(math.isinf(share) for share in shares),
                "reached (at most 1/3)": statistics.median(shares) <= _MOST_SHARE,
            }
        )
    return lines


def _at_full(
    name: str, workers: int, full_trials: int, configuration: Any, seed: int
) -> list[tuple[float, float]]:
    """Return the share of random search's fidelity that was spent, and the least objective at full
    fidelity so far."""
    problem: Problem = MULTI[name]
    assert problem.fidelity is not None
    full = float(Space.parse(problem.space)[problem.fidelity].interval()[1])
    most = full * full_trials
    least, trace = math.inf, []
    for spent, value, params in searches.ours(problem, configuration, seed, workers, most=most):
        if params[problem.fidelity] == full:
            least = min(least, value)
            trace.append((spent / most, least))
    return trace


def speed(name: str, size: int, rounds: int = 9) -> dict[str, Any]:
    """Return what one suggestion costs after ``size`` trials, ours and ``study.ask`` in turn."""
    import optuna

    from orion_hpc.algorithms.base import draw_generator
    from orion_hpc.algorithms.factory import make_algorithm
    from tests.rigs.history import FakeHistory

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    priors = {f"x{place}": "uniform(0, 1, precision=None)" for place in range(5)}
    space, rng = Space.parse(priors), random.Random(0)
    distributions = searches.distributions_of(priors)
    history, study = FakeHistory(), optuna.create_study(sampler=searches.sampler(name, 1))
    algorithm = make_algorithm(name, space)

    def more(count: int) -> None:
        trials = []
        for _ in range(count):
            params = space.sample(rng)
            value = sum(one * one for one in params.values())
            history.complete(history.register(params), value)
            trials.append(
                optuna.create_trial(params=params, distributions=distributions, value=value)
            )
        study.add_trials(trials)

    more(size)
    times: list[tuple[float, float]] = []
    for number in range(size, size + rounds + 1):
        taken = {}
        for is_ours in (True, False) if number % 2 else (False, True):
            begin = time.perf_counter()
            if is_ours:
                algorithm.suggest(history, number, draw_generator(1, number))
            else:
                asked = study.ask(distributions)
            taken[is_ours] = time.perf_counter() - begin
        times.append((taken[True], taken[False]))
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
        more(1)
    times = times[1:]  # both have to take in all trials first
    ratio = statistics.median(one / other for one, other in times)
    return {
        "algorithm": name,
        "trials": size,
        "ours (ms)": 1e3 * statistics.median(one for one, _ in times),
        "study.ask (ms)": 1e3 * statistics.median(other for _, other in times),
        "ratio": ratio,
        "reached (at most 1.2 x)": ratio <= _MOST_RATIO if size >= _AT_TRIALS else "",
    }


def _finite(value: Any) -> Any:
    """Return the same with None for what is infinite, which JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_HIDDEN = ("curve", "optunas_curve", "pairs", "pairs_with_random")


def _table(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    lines = [{k: value for k, value in line.items() if k not in _HIDDEN} for line in lines]
    cells = [list(lines[0]), *([_cell(value) for value in line.values()] for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    rows = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    rows.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(rows)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        low, middle, high = value
        return f"{middle:.3g} ({low:.3g} to {high:.3g})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def draw(lines: Sequence[dict[str, Any]], path: str) -> None:
    """Draw the median regret over the trials: ours solid, Optuna's dashed."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    problems = list(dict.fromkeys(line["problem"] for line in lines))
    algorithms = list(dict.fromkeys(line["algorithm"] for line in lines))
    height = 2.6 * len(problems) + 0.6
    figure, axes = pyplot.subplots(len(problems), len(WORKERS), figsize=(9, height), squeeze=False)
    for line in lines:
        axis = axes[problems.index(line["problem"])][WORKERS.index(line["workers"])]
        colour = f"C{algorithms.index(line['algorithm'])}"
        for curve, style in ((line["curve"], "-"), (line["optunas_curve"], "--")):
            floored = [max(value, 1e-9) for value in curve]
            label = line["algorithm"] if style == "-" else None
            axis.plot(range(1, len(curve) + 1), floored, style, color=colour, label=label)
        axis.set(yscale="log", title=f"{line['problem']}, workers: {line['workers']}")
        axis.set(xlabel="trials", ylabel="median regret")
    # Above the curves, which it would hide.
    handles, labels = axes[0][0].get_legend_handles_labels()
    title = "solid: orion-hpc, dashed: Optuna"
    figure.legend(handles, labels, title=title, ncol=len(labels), fontsize=8, loc="upper center")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / height))
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.search", description=__doc__)
    add = parser.add_argument
    add("--problems", nargs="*", choices=PROBLEMS, default=list(PROBLEMS), metavar="PROBLEM")
    add("--algorithms", nargs="*", choices=searches.ALGORITHMS, metavar="ALGORITHM",
        default=list(searches.ALGORITHMS))  # fmt: skip
    add("--multi", nargs="*", choices=MULTI, default=list(MULTI), metavar="PROBLEM",
        help="problems with a fidelity")  # fmt: skip
    add("--halving", nargs="*", choices=HALVING, default=list(HALVING), metavar="ALGORITHM")
    add("--full-trials", nargs="*", type=int, default=[30, 100], metavar="N",
        help="trials of random search with all of the fidelity")  # fmt: skip
    add("--fast", nargs="*", choices=["tpe", "cmaes", "gp", "random", "qmc"],
        default=["tpe", "cmaes"], help="algorithms whose suggestions are timed")  # fmt: skip
    add("--sizes", nargs="*", type=int, default=[100, 1000, 10_000], help="trials before these")
    add("--seeds", type=int, default=20)
    add("--trials", type=int, default=100)
    add("--processes", type=int, default=2)
    add("--short", action="store_true", help="hardly any: shows that it runs, measures nothing")
    add("--json", metavar="OUT", help="write everything that was measured there")
    add("--picture", metavar="OUT", help="draw the regrets there (needs matplotlib)")
    return parser


if __name__ == "__main__":
    # Of this program, and not of whoever calls main: tests that run later see the same environment.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    sys.exit(main())
