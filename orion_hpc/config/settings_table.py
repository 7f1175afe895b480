"""All settings, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SETTINGS_COLUMNS = ("setting", "value", "from")


def settings_rows(found: Iterable[tuple[str, Any, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each path, value and place. Values are as YAML takes them."""
    for path, value, place in found:
        told = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
        yield path, told, place


def settings_record(found: Iterable[tuple[str, Any, str]]) -> dict[str, dict[str, Any]]:
    """Return ``{path: {"value": …, "from": …}}``.

    JSON has no numbers beyond the finite ones: they are texts such as ``.inf``, YAML's own form.
    """
    return {path: {"value": _plain(value), "from": place} for path, value, place in found}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
