"""A headless Firefox, driven by WebDriver BiDi over a socket of its own: neither geckodriver nor a package is needed."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
MISSING = "no Firefox; on Debian: apt-get install firefox-esr"


class Firefox:
    """One window, with the methods of `browser.Browser` that pages are tested with."""

    def __init__(self, port: int):
        self.socket = _Socket(port, "/session")
        self.last, self.entries = 0, []
        self._call("session.new", capabilities={})
        self._call("session.subscribe", events=["log.entryAdded"])
        self.context = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, page: Path) -> None:
        self._call("browsingContext.navigate", context=self.context, url=page.resolve().as_uri(), wait="complete")

    def run(self, script: str, *given: object) -> object:
        """What a script returns; it is a function's body, and its arguments are in `arguments`."""
        body = f"() => JSON.stringify((function () {{ {script} }}).apply(null, {json.dumps(given)}) ?? null)"
        found = self._call("script.callFunction", functionDeclaration=body, awaitPromise=False,
                           target={"context": self.context})
        assert found["type"] == "success", found["exceptionDetails"]["text"]
        return json.loads(found["result"]["value"])

    def messages(self) -> list[str]:
        """Errors and warnings since it was asked last."""
        self.run("return 0")
        found, self.entries = self.entries, []
        return [str(entry["text"]) for entry in found if entry["level"] in ("error", "warn")]

    def resize(self, width: int, height: int) -> None:
        self._call("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def type(self, text: str) -> None:
        """Keys for what has the focus."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._call("input.performActions", context=self.context, actions=[{"type": "key", "id": "keys", "actions": actions}])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("browsingContext.captureScreenshot", context=self.context)["data"]))

    def _call(self, method: str, **params: object) -> dict:
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.receive())
            if answer["type"] == "event":
                self.entries.append(answer["params"])
            elif answer["id"] == self.last:
                assert answer["type"] == "success", answer
                return answer["result"]


class _Socket:
    """As much of a WebSocket as this needs: texts, both ways."""

    def __init__(self, port: int, path: str):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=120)
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.held = b""
        while b"\r\n\r\n" not in self.held:
            self.held += self._more()
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        assert b" 101 " in head, head

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else (
            struct.pack("!BBH", 0x81, 0xFE, size) if size < 65536 else struct.pack("!BBQ", 0x81, 0xFF, size))
        self.stream.sendall(head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data)))

    def receive(self) -> str:
        whole = b""
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size > 125:
                size = struct.unpack("!H" if size == 126 else "!Q", self._take(2 if size == 126 else 8))[0]
            data = self._take(size)
            if first & 0x0F < 3:
                whole += data
                if first & 0x80:
                    return whole.decode()

    def _take(self, count: int) -> bytes:
        while len(self.held) < count:
            self.held += self._more()
        found, self.held = self.held[:count], self.held[count:]
        return found

    def _more(self) -> bytes:
        found = self.stream.recv(65536)
        assert found, "Firefox has closed the connection"
        return found


@contextmanager
def firefox() -> Iterator[Firefox]:
    """A Firefox for a while, with a profile of its own. Skips where there is none."""
    if FIREFOX is None:
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        started = subprocess.Popen([FIREFOX, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            for line in started.stderr:
                listening = re.search(r"WebDriver BiDi listening on ws://127\.0\.0\.1:(\d+)", line)
                if listening:
                    break
            else:
                raise AssertionError("Firefox does not listen")
            yield Firefox(int(listening[1]))
        finally:
            started.terminate()
            started.wait(30)
