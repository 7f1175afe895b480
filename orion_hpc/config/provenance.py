"""The sources of settings, and the problems with them, as records. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from orion_hpc.model.space import Space

Keys = tuple[str, ...]


class Problem(NamedTuple):
    """A problem with a setting: its keys, what is wrong, and what to do."""

    keys: Keys
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The sources of settings, by keys: the layer's label, the place in it, its base directory.

    ``home`` is the experiment's directory, and the base of defaults.
    """

    labels: Mapping[Keys, str]
    places: Mapping[Keys, str]
    bases: Mapping[Keys, Path]
    home: Path

    def label(self, keys: Keys) -> str:
        """Return the label of the layer that gave the setting, or the nearest block around it."""
        return _nearest(self.labels, keys) or "defaults"

    def place(self, keys: Keys) -> str:
        """Return the same, with the line of a file or the name of a variable where it has one."""
        label = self.label(keys)
        return label if label == "defaults" else _nearest(self.places, keys) or label


class Resolution(NamedTuple):
    """What resolving finds out beside the values: their sources, and the parsed space."""

    provenance: Provenance
    space: Space | None


def _nearest(known: Mapping[Keys, str], keys: Keys) -> str:
    for length in range(len(keys), 0, -1):
        if keys[:length] in known:
            return known[keys[:length]]
    return ""
