"""Blocks of algorithms as Oríon documents and records them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from orion_hpc.algorithms.base import draw_generator
from orion_hpc.algorithms.factory import make_algorithm, normalise, orion_notes
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.space import Space
from tests.rigs.history import FakeHistory

DEFAULTS: dict[str, dict[str, Any]] = {
    "random": {"seed": None},
    "tpe": {
        "seed": None, "n_initial_points": 20, "n_ei_candidates": 24, "gamma": 0.25,
        "equal_weight": False, "prior_weight": 1.0, "full_weight_num": 25, "max_retry": 100,
        "parallel_strategy": {
            "of_type": "StatusBasedParallelStrategy",
            "strategy_configs": {"broken": {"of_type": "MaxParallelStrategy"}},
        },
    },
    "asha": {"seed": None, "num_rungs": 5, "num_brackets": 1, "repetitions": math.inf},
    "hyperband": {"seed": None, "repetitions": math.inf},
    "pbt": {
        "seed": None, "population_size": 50, "generations": 10, "fork_timeout": 60,
        "exploit": {"of_type": "PipelineExploit", "exploit_configs": [
            {"of_type": "BacktrackExploit", "min_forking_population": 5,
             "truncation_quantile": 0.9, "candidate_pool_ratio": 0.2},
            {"of_type": "TruncateExploit", "min_forking_population": 5,
             "truncation_quantile": 0.8, "candidate_pool_ratio": 0.2},
        ]},
        "explore": {"of_type": "PipelineExplore", "explore_configs": [
            {"of_type": "ResampleExplore", "probability": 0.2},
            {"of_type": "PerturbExplore", "factor": 1.2, "volatility": 0.0001},
        ]},
    },
    "evolutiones": {"seed": None, "repetitions": math.inf, "nums_population": 20, "mutate": None,
                    "max_retries": 1000},
}  # fmt: skip
"""What Oríon 0.2.7 records for each algorithm by default."""

SPACE = Space.parse({"x": "uniform(0, 1)", "epochs": "fidelity(1, 16)"})


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_orion_records_by_default_works(name: str) -> None:
    """Each of Oríon's own blocks is taken, and nothing of a default is worth a note."""
    block = {name: DEFAULTS[name]}
    known = normalise(block, seed=3)
    assert normalise(known) == known
    point = make_algorithm(block, SPACE).suggest(FakeHistory(), 0, draw_generator(1, 0))
    SPACE.check(point)
    notes = orion_notes(block)
    assert len(notes) == (name == "evolutiones"), notes


@pytest.mark.parametrize(
    ("block", "taken"),
    [
        ({"of_type": "tpe", "seed": 2}, {"tpe": {"seed": 2}}),
        ({"of_type": "Random"}, {"random": {"seed": None}}),
        ({"random": {"seed": [5]}}, {"random": {"seed": 5}}),
        ({"tpe": {"parallel_strategy": {"of_type": "MeanParallelStrategy"}}},
         {"tpe": {"strategy": "mean"}}),
        ({"tpe": {"parallel_strategy": {
            "of_type": "StatusBasedParallelStrategy",
            "strategy_configs": {"reserved": {"of_type": "maxparallelstrategy"}}}}},
         {"tpe": {"strategy": "max"}}),
        ({"tpe": {"parallel_strategy": {"of_type": "NoParallelStrategy"}, "strategy": "min"}},
         {"tpe": {"strategy": "min"}}),
        ({"hyperband": {"repetitions": math.inf}}, {"hyperband": {"repetitions": None}}),
        ({"hyperband": {"repetitions": 2.0}}, {"hyperband": {"repetitions": 2}}),
        ({"pbt": DEFAULTS["pbt"]},
         {"pbt": {"population_size": 50, "generations": 10, "truncation": 0.2,
                  "perturbation": 1.2, "resample_probability": 0.2}}),
        ({"pbt": {"exploit": {"of_type": "TruncateExploit", "truncation_quantile": 0.7,
                              "candidate_pool_ratio": 0.3}}}, {"pbt": {"truncation": 0.3}}),
        ({"EvolutionES": {"nums_population": 8}}, {"pbt": {"population_size": 8}}),
        ({"asha": {"sampler": {"of_type": "tpe", "n_initial_points": 4}}},
         {"asha": {"sampler": {"of_type": "tpe", "n_initial_points": 4}}}),
    ],
)  # fmt: skip
def test_what_has_a_meaning_is_taken(block: Any, taken: dict[str, dict[str, Any]]) -> None:
    """Options of Oríon's become those of this package."""
    ((name, options),) = normalise(block).items()
    ((wanted, values),) = taken.items()
    assert name == wanted
    assert {key: options[key] for key in values} == values
    make_algorithm(block, SPACE)


@pytest.mark.parametrize(
    ("block", "notes"),
    [
        ({"tpe": {"equal_weight": True, "full_weight_num": 5}},
         ["Oríon's equal_weight has no effect on tpe here: trials are weighted as in Optuna's "
          "sampler",
          "Oríon's full_weight_num has no effect on tpe here: trials are weighted as in Optuna's "
          "sampler"]),
        ({"tpe": {"parallel_strategy": {"of_type": "StubParallelStrategy"}}},
         ["Oríon's parallel_strategy has no effect on tpe here: write strategy: max, mean, min or "
          "none"]),
        ({"asha": {"repetitions": 2}},
         ["Oríon's repetitions has no effect on asha here: the search goes on until max_trials"]),
        ({"pbt": {"explore": {"of_type": "Mine"}}},
         ["Oríon's Mine has no effect on pbt here: write perturbation: 1.2"]),
        ({"evolutiones": {"mutate": {"multiply_factor": 3.0}}},
         ["EvolutionES isn't here; pbt, which is the nearest, searches with its population",
          "Oríon's mutate has no effect on evolutiones here: pbt has perturbation and "
          "resample_probability"]),
        ("tpe", []),
        ({"tpe": {"seed": 1, "gamma": 0.2}}, []),
    ],
)  # fmt: skip
def test_what_has_none_is_told(block: Any, notes: list[str]) -> None:
    """An option without a counterpart is left out with a note, and the search is made all the
    same."""
    assert orion_notes(block) == notes
    make_algorithm(block, SPACE)


def test_a_list_of_seeds_is_one_seed() -> None:
    """Equal lists give equal seeds, other lists others; what is no seed is refused."""
    seeds = [normalise({"tpe": {"seed": seed}})["tpe"]["seed"] for seed in ([1, 2], (1, 2), [2, 1])]
    assert seeds[0] == seeds[1] != seeds[2]
    for wrong in ([], [1, -2], [1, "a"]):
        with pytest.raises(ConfigurationError, match="the seed of tpe is"):
            normalise({"tpe": {"seed": wrong}})


@pytest.mark.parametrize(
    "block",
    [{"of_type": ["tpe"]}, {"of_type": None}, {"tpe": {"max_retrys": 5}},
     {"pbt": {"exploit": {"of_type": "TruncateExploit", "truncation_quantile": 0.1}}},
     {"hyperband": {"repetitions": 1.5}}, {"pbt": {"population_size": 0.5}}],
)  # fmt: skip
def test_what_is_wrong_is_still_refused(block: Any) -> None:
    """A misspelt option or a value out of range isn't taken for one of Oríon's."""
    with pytest.raises(ConfigurationError):
        normalise(block)
