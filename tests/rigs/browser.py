"""A real browser without a window: Debian's Chromium, driven by selenium.

It keeps what the page logged and every request that it made.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def missing_for_browser() -> str | None:
    """Return why there is no browser here; None if there is one."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} isn't installed"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium isn't installed"
    return None


class Browser:
    """A page in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Load a page; returns when it has loaded."""
        self.driver.get(address)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def errors(self) -> list[str]:
        """Return what the page has logged as errors and warnings since the last call."""
        return [one["message"] for one in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for since the last call.

        The browser's own pages, such as that of a new tab, may still load and aren't meant.
        """
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] != "Network.requestWillBeSent":
                continue
            if not message["params"]["documentURL"].startswith("chrome"):
                found.append(message["params"]["request"]["url"])
        return found

    def picture(self, path: Path) -> None:
        """Write a picture of what is seen."""
        self.driver.save_screenshot(str(path))


@contextmanager
def browser(folder: Path, width: int = 1280, height: int = 1000) -> Iterator[Browser]:
    """Start a browser with a profile in ``folder``, and end it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for one in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-background-networking", "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}",
    ):  # fmt: skip
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
