"""The page of an experiment: one file of HTML with its style, script, chart library and data.

It needs no network. What it shows is computed in ``page_data``; ``static`` has its parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any


def report(data: Mapping[str, Any]) -> str:
    """Return the page with the data of :func:`~orion_hpc.visual.page_data.page_data` in it."""
    parts = {
        "TITLE": _escaped(str(data["title"])),
        "STYLE": static("page.css"),
        "LIBRARY": static("echarts.js"),
        "SCRIPT": static("page.js"),
        "DATA": as_script(data),
    }
    found = static("page.html")
    for name, text in parts.items():
        before, _, after = found.partition(f"[[{name}]]")
        found = f"{before}{text}{after}"
    return found


def static(name: str) -> str:
    """Return the text of a part of the page."""
    return files("orion_hpc.visual").joinpath("static", name).read_text(encoding="utf-8")


def as_script(data: Mapping[str, Any]) -> str:
    """Return data as JSON that can stand in an element ``script``: nothing ends it early."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
