"""What a notebook shows of experiments, trials, spaces and statistics."""

from __future__ import annotations

from html.parser import HTMLParser

from orion_hpc.client import build_experiment

HOSTILE = "<img src=x onerror=alert(1)>&"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(text: str) -> _Tags:
    found = _Tags()
    found.feed(text)
    return found


def test_everything_is_a_table_of_texts() -> None:
    """Nothing of an experiment is taken for HTML."""
    experiment = build_experiment(
        HOSTILE, space={"k": f"choices([{HOSTILE!r}])"}, max_trials=1, debug=True
    )
    experiment.insert({"k": HOSTILE}, results=0.5)
    (trial,) = experiment.fetch_trials()
    for one in (experiment, trial, experiment.space, experiment.stats):
        found = read(one._repr_html_())
        assert found.tags == {"table", "caption", "tr", "th", "td"}
    shown = read(experiment._repr_html_()).texts
    assert f"Experiment {HOSTILE} v1" in shown
    assert {"1 completed", "0.5", HOSTILE} <= set(shown)
    assert {"completed", HOSTILE, "0.5"} <= set(read(trial._repr_html_()).texts)
    assert "1" in read(experiment.stats._repr_html_()).texts
