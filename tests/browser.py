"""A real headless Chromium by the WebDriver protocol: opens a page, clicks, uploads, tells what went wrong.

Needs Debian's `chromium` and `chromium-driver`; tests skip where they are absent.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.conftest import skip_or_fail

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the W3C's key for a reference to an element
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Browser:
    """One browser session; `requests` and `console` are all since the page was opened."""

    def __init__(self, address: str, *, width: int, height: int, dark: bool) -> None:
        chrome = {
            "binary": shutil.which("chromium"),
            "args": [
                *FLAGS,
                f"--user-data-dir={tempfile.mkdtemp()}",
                *(["--force-dark-mode"] if dark else []),
            ],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1.0}},
            "perfLoggingPrefs": {"enableNetwork": True},
        }
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": chrome, "goog:loggingPrefs": logs}
        self._address = address
        created = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._address = f"{address}/session/{created['sessionId']}"

    def open(self, url: str) -> Self:
        """Loads a page and waits until it is complete."""
        self._call("POST", "/url", {"url": url})
        return self

    def run(self, script: str, *arguments: object) -> Any:
        """The value that a JavaScript function body returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, css: str) -> str:
        """What a reader sees of the first element that matches."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", css)).strip()

    def type(self, css: str, text: str) -> None:
        """Types into a field; into a file field: chooses that file."""
        found = self._call("POST", "/element", {"using": "css selector", "value": css})
        self._call("POST", f"/element/{found[ELEMENT]}/value", {"text": text})

    def click(self, css: str) -> None:
        """Clicks the first element that matches."""
        found = self._call("POST", "/element", {"using": "css selector", "value": css})
        self._call("POST", f"/element/{found[ELEMENT]}/click", {})

    def wait(self, condition: str, *, seconds: float = 60) -> None:
        """Waits until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < deadline, (
                f"not true within {seconds} s: {condition}\n{self.text('body')}"
            )
            time.sleep(0.1)

    def console(self) -> list[str]:
        """Warnings and errors of the console."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [one["message"] for one in entries if one["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """Addresses that the page asked for; those of the browser's own start page are left out."""
        entries = self._call("POST", "/se/log", {"type": "performance"})
        events = [json.loads(one["message"])["message"] for one in entries]
        sent = [one["params"] for one in events if one["method"] == "Network.requestWillBeSent"]
        own = ("chrome:", "chrome-untrusted:")
        return [one["request"]["url"] for one in sent if not one["documentURL"].startswith(own)]

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Writes a PNG of the whole page, or of what is in sight."""
        wanted = {"captureBeyondViewport": whole, "format": "png"}
        if whole:
            size = self.run("const e = document.documentElement; return [e.scrollWidth, e.scrollHeight]")
            wanted["clip"] = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        found = self._call("POST", "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": wanted})
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """Ends the browser."""
        self._call("DELETE", "", None)

    def _call(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None


@contextmanager
def browser(*, width: int = 1200, height: int = 900, dark: bool = False) -> Iterator[Browser]:
    """A browser with a window of that size, in light or dark mode; skips where there is none."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            skip_or_fail(f"no {name}: install Debian's chromium and chromium-driver", needs=name)
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        line = next(line for line in driver.stdout if "successfully on port" in line)
        port = int(line.rsplit(" ", 1)[1].strip().rstrip("."))
        one = Browser(f"http://127.0.0.1:{port}", width=width, height=height, dark=dark)
        try:
            yield one
        finally:
            one.close()
    finally:
        driver.terminate()
        driver.communicate(timeout=20)
