"""The only importer of Optuna: a history as one of its studies, and suggestions of its samplers.

Imported only if the configuration selects such an algorithm, as it takes half a second. The study's
storage mirrors the history. A trial is converted once, when it is completed, so a suggestion costs
what the sampler itself costs, even after ten thousand trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Sequence
from typing import Any, NoReturn

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orion_hpc.algorithms.base import History
from orion_hpc.model.dimension import Categorical, Dimension, Integer, Real
from orion_hpc.model.distribution import Discretised, LogUniform
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import Params, TrialRecord

MakeSampler = Callable[[int], BaseSampler]
"""Returns a sampler with this seed: a new one for each suggestion, as it must have no state."""


class Study:
    """A history as a study of Optuna.

    Parameters
    ----------
    space : Space
        Without shapes, with uniform and loguniform priors only.
    strategy : None, "max", "mean", "min" or "none"
        How the sampler sees pending trials: as pending (None), as completed with the worst, the
        mean or the best objective so far, or not at all.
    most_integers : int
        The number of values above which the sampler sees an integer as a real, which is rounded.
    learns_failures : bool
        Whether the sampler sees failed trials, as completed ones with the worst objective so far.
    """

    def __init__(
        self, space: Space, strategy: str | None, most_integers: int, learns_failures: bool
    ) -> None:
        self._mirror = _Mirror(space, strategy, most_integers, learns_failures)
        self._single = {n: d for n, d in self._mirror.distributions.items() if d.single()}
        self._relative = {n: d for n, d in self._mirror.distributions.items() if not d.single()}

    def suggest(
        self, history: History, number: int, seed: int, make: MakeSampler, together: bool = True
    ) -> Params:
        """Return a point by flat name.

        Parameters
        ----------
        history : History
        number : int
            The trial to be registered.
        seed : int
            The sampler's, below 2**32.
        make : callable
            Returns a sampler by its seed.
        together : bool, default True
            Whether the sampler considers dimensions jointly rather than independently.
        """
        mirror = self._mirror
        mirror.update(history)
        with warnings.catch_warnings():
            # Users needn't know what is experimental or deprecated in Optuna.
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", category=FutureWarning)
            study = optuna.load_study(study_name="", storage=mirror, sampler=make(seed))
            sampler = study.sampler
            trial = FrozenTrial(
                number, TrialState.RUNNING, None, None, None, {}, {}, {}, {}, {}, number
            )
            sampler.before_trial(study, trial)
            found: dict[str, Any] = {name: _single_value(one) for name, one in self._single.items()}
            if together and self._relative:
                found.update(sampler.sample_relative(study, trial, self._relative))
            for name, distribution in self._relative.items():
                if name not in found:
                    found[name] = sampler.sample_independent(study, trial, name, distribution)
        return {name: mirror.plain(name, found[name]) for name in mirror.space}


class Nsga2Sampler(NSGAIISampler):
    """NSGA-II whose generations follow from the order of completion.

    Optuna stores a trial's generation when it is suggested, which a pure function of the history
    can't do.
    """

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return len(completed) // self._size

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        first = generation * self._size
        completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return completed[first : first + self._size]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        # Optuna returns them by rank when it selects them, and by number when it has cached them.
        # The order must be the same, so that the same draw selects the same parents.
        parents = super().get_parent_population(study, generation)
        return sorted(parents, key=lambda trial: trial.number)

    @property
    def _size(self) -> int:
        assert self.population_size is not None
        return self.population_size


class _Mirror(BaseStorage):
    """A read-only storage with a single study, that of a history."""

    def __init__(
        self, space: Space, strategy: str | None, most_integers: int, learns_failures: bool
    ) -> None:
        self.space = space
        self.distributions = {
            name: _distribution(one, most_integers) for name, one in space.items()
        }
        self._strategy = strategy
        self._learns_failures = learns_failures
        self._undone: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._seen = 0
        self._completed: list[FrozenTrial] = []
        self._failed: list[FrozenTrial] = []
        self._pending: list[FrozenTrial] = []
        self._known: dict[int, FrozenTrial] = {}
        self._attributes: dict[str, Any] = {}
        self._objectives: int | None = None
        self._constraints = 0
        self._least: list[float] = []
        self._most: list[float] = []
        self._sum: list[float] = []

    def update(self, history: History) -> None:
        """Add what is new in the history."""
        if history.undone != self._undone:
            self._reset()
            self._undone = history.undone
            for trial in reversed(history.learned):
                self._complete(trial)
        for number in history.completions[self._seen :]:
            self._complete(history.trials[number])
        self._seen = len(history.completions)
        self._pending = []
        if self._strategy != "none":
            known, self._known = self._known, {}
            for trial in history.pending():
                frozen = known.get(trial.number) or self._frozen(trial)
                if frozen is not None:
                    self._known[trial.number] = frozen
                    self._pending.append(frozen)
        if self._strategy in ("max", "mean", "min") and self._completed:
            for frozen in self._pending:
                frozen.state = TrialState.COMPLETE
                frozen.values = self._lie()
        self._failed = self._failures(history) if self._learns_failures else []

    def _failures(self, history: History) -> list[FrozenTrial]:
        """Return the failed trials as completed ones, each as bad as the worst of all others."""
        if not self._completed:
            return []
        found = []
        for trial in history.failed():
            # A view of a history with several levels gives them an objective of its own.
            frozen = self._frozen(trial, trial.objectives or self._most)
            if frozen is not None:
                found.append(frozen)
        for name in (f"constraints:{place}" for place in range(self._constraints) if found):
            worst = max(one.system_attrs[name] for one in self._completed)
            for frozen in found:
                frozen.system_attrs[name] = worst
        return found

    def _lie(self) -> list[float]:
        if self._strategy == "mean":
            return [total / len(self._completed) for total in self._sum]
        return list(self._most if self._strategy == "max" else self._least)

    def _complete(self, trial: TrialRecord) -> None:
        values = trial.objectives
        if self._objectives is None and values:
            self._objectives = len(values)
            self._least, self._most = list(values), list(values)
            self._sum = [0.0] * len(values)
        frozen = self._frozen(trial, values)
        if frozen is None or len(values) != self._objectives:
            return
        self._completed.append(frozen)
        self._constrain(trial)
        self._least = list(map(min, self._least, values))
        self._most = list(map(max, self._most, values))
        self._sum = [total + value for total, value in zip(self._sum, values, strict=True)]

    def _constrain(self, trial: TrialRecord) -> None:
        """Give all trials the same number of constraints, as a Gaussian process is fitted to each.

        A constraint that a trial didn't report counts as satisfied.
        """
        before, self._constraints = (
            self._constraints,
            max(self._constraints, len(trial.constraints)),
        )
        for one in self._completed if self._constraints > before else self._completed[-1:]:
            for place in range(self._constraints):
                one.system_attrs.setdefault(f"constraints:{place}", 0.0)

    def _frozen(
        self, trial: TrialRecord, values: Sequence[float] | None = None
    ) -> FrozenTrial | None:
        if trial.params.keys() != self.distributions.keys():
            return None
        params = {}
        for name, distribution in self.distributions.items():
            value = self._foreign(name, trial.params[name])
            # A trial that a user inserted may lie outside the bounds of suggestions.
            if value is None or not distribution._contains(distribution.to_internal_repr(value)):
                return None
            params[name] = value
        constraints = {
            f"constraints:{place}": value for place, value in enumerate(trial.constraints)
        }
        return FrozenTrial(
            number=trial.number,
            state=TrialState.RUNNING if values is None else TrialState.COMPLETE,
            value=None,
            values=None if values is None else list(values),
            datetime_start=None,
            datetime_complete=None,
            params=params,
            distributions=self.distributions,
            user_attrs={},
            system_attrs=constraints,
            intermediate_values={},
            trial_id=trial.number,
        )

    def _foreign(self, name: str, value: Any) -> Any:
        dimension = self.space[name]
        if not isinstance(dimension, Categorical):
            return value
        try:
            return dimension.choices.index(dimension.cast(value))
        except StopIteration:
            return None

    def plain(self, name: str, value: Any) -> Any:
        """Return a sampler's value as a value of the dimension."""
        dimension = self.space[name]
        if isinstance(dimension, Categorical):
            return dimension.choices[int(value)]
        if isinstance(dimension, Integer):
            low, high = dimension.interval()
            return int(min(max(round(value), low), high))  # a large integer is a real here
        return dimension.cast(value)

    # -- called by the study ----------------------------------------------------------------------

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        completed = states is None or TrialState.COMPLETE in states
        if states is None:
            return [*self._completed, *self._failed, *self._pending]
        pending = [trial for trial in self._pending if trial.state in states]
        return [*self._completed, *self._failed, *pending] if completed else pending

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return ""

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection.MINIMIZE] * (self._objectives or 1)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._attributes

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._attributes[key] = value

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Ignore it: it is meant for other processes, which read the journal instead."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("the history is read only")

    create_new_study = _refuse
    delete_study = _refuse
    set_study_user_attr = _refuse
    get_all_studies = _refuse
    create_new_trial = _refuse
    set_trial_param = _refuse
    set_trial_state_values = _refuse
    set_trial_intermediate_value = _refuse
    set_trial_user_attr = _refuse
    get_trial = _refuse


def _distribution(dimension: Dimension, most_integers: int) -> BaseDistribution:
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(range(len(dimension.choices)))
    if isinstance(dimension, Integer):
        low, high = dimension.interval()
        prior = dimension.distribution
        log = isinstance(prior, Discretised) and isinstance(prior.real, LogUniform)
        if high - low >= most_integers:
            return FloatDistribution(low - 0.5, high + 0.5, log=log)
        return IntDistribution(int(low), int(high), log=log)
    assert isinstance(dimension, Real)
    low, high = dimension.interval()
    return FloatDistribution(low, high, log=isinstance(dimension.distribution, LogUniform))


def _single_value(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low


EVALUATORS = ("ped-anova", "fanova")
"""What :func:`importances` may use."""


def importances(space: Space, trials: Sequence[TrialRecord], evaluator: str) -> dict[str, float]:
    """Return each dimension's importance for the first objective; all together they are 1.

    Parameters
    ----------
    space : Space
        As of :class:`Study`.
    trials : sequence of TrialRecord
        Completed ones, with points of ``space``. Those outside of it are left out.
    evaluator : {"ped-anova", "fanova"}
        PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), for the importance within the best
        trials, or functional ANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) of a random forest.
    """
    mirror = _Mirror(space, None, 1 << 53, learns_failures=False)
    frozen = [mirror._frozen(one, one.objectives[:1]) for one in trials]
    points = [(one.params, one.value) for one in frozen if one is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study()
        study.add_trials(
            optuna.create_trial(params=one, distributions=mirror.distributions, value=value)
            for one, value in points
        )
        by: optuna.importance.BaseImportanceEvaluator = (
            optuna.importance.PedAnovaImportanceEvaluator()
            if evaluator == "ped-anova"
            else optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
        found = optuna.importance.get_param_importances(study, evaluator=by)
    return {name: float(found.get(name, 0.0)) for name in space}


def quiet() -> None:
    """Set Optuna's log level to warnings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
