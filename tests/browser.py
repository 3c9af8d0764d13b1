"""A headless Chromium, driven through chromedriver by WebDriver's own protocol: no package is needed for that.

With LSTMGEN_BROWSER=firefox the same tests run in a Firefox: `make firefox`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firefox import Firefox, firefox

DRIVER = shutil.which("chromedriver")
MISSING = "no Chromium with chromedriver: `make browser` installs them on Debian"
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]


class Browser:
    """One window. `messages` is what its console got since it was asked last."""

    def __init__(self, server: str):
        self.server, self.session = server, ""
        options = {"args": OPTIONS}
        found = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{found['sessionId']}"
        self.resize(1400, 1000)

    def open(self, page: Path) -> None:
        self._call("POST", "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *given: object) -> object:
        """What a script returns; it is a function's body, and its arguments are in `arguments`."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(given)})

    def messages(self) -> list[str]:
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def resize(self, width: int, height: int) -> None:
        self._devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def darken(self, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", features=[scheme])

    def type(self, text: str) -> None:
        """Keys for what has the focus."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._devtools("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._call("DELETE", "")

    def _devtools(self, command: str, **given: object) -> dict:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": given})

    def _call(self, method: str, path: str, body: object = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + self.session + path, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None


@contextmanager
def browser() -> Iterator[Browser | Firefox]:
    """A browser for a while. Skips where there is none, unless it was to be installed: see `make browser`."""
    if os.environ.get("LSTMGEN_BROWSER") == "firefox":
        with firefox() as window:
            yield window
        return
    if DRIVER is None:
        installable = os.environ.get("FRAMEWORKS") and shutil.which("apt-get") and os.geteuid() == 0
        (pytest.fail if installable else pytest.skip)(MISSING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        window = Browser(f"http://127.0.0.1:{port}")
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait(30)


def _wait(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("chromedriver does not answer")
