"""A real headless Chromium, spoken to by its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05


class Browser:
    """One page; everything that it says or asks for is kept in events."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(
            address, timeout=DEADLINE_SECONDS, suppress_origin=True
        )
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") != number:
                self.events.append(answer)
                continue
            assert "error" not in answer, answer
            result: dict[str, Any] = answer["result"]
            return result

    def open(self, page: Path, *, scripts: bool = True) -> None:
        """Opens a file and waits until it is loaded and drawn."""
        self.go(page.as_uri(), scripts=scripts)

    def go(self, url: str, *, scripts: bool = True) -> None:
        """Opens an address and waits until it is loaded and drawn."""
        self.events.clear()
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")
        if scripts:
            self.settle()

    def settle(self) -> None:
        """Waits until two frames were drawn."""
        self.call(
            "Runtime.evaluate",
            expression="new Promise(done => requestAnimationFrame(() => "
            "requestAnimationFrame(() => done(1))))",
            awaitPromise=True,
        )

    def value(self, expression: str) -> Any:
        """Evaluates an expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Waits until an expression is true."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.value(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(POLL_SECONDS)

    def mouse(self, kind: str, x: float, y: float, buttons: int = 0) -> None:
        """Moves, presses or releases the mouse at a place of the window."""
        self.call(
            "Input.dispatchMouseEvent",
            type=f"mouse{kind}",
            x=x,
            y=y,
            buttons=buttons,
            button="left" if kind != "Moved" or buttons else "none",
            clickCount=0 if kind == "Moved" else 1,
        )

    def named(self, method: str) -> list[dict[str, Any]]:
        """Returns the parameters of all events of a kind."""
        return [e["params"] for e in self.events if e["method"] == method]

    def complaints(self) -> list[Any]:
        """Returns everything that the page wrote to the console."""
        return [
            *self.named("Runtime.consoleAPICalled"),
            *self.named("Runtime.exceptionThrown"),
            *self.named("Log.entryAdded"),
            *self.named("Page.javascriptDialogOpening"),
        ]

    def requests(self) -> list[str]:
        """Returns all addresses that were asked for."""
        sent = self.named("Network.requestWillBeSent")
        return [each["request"]["url"] for each in sent]

    def resize(self, width: int, height: int) -> None:
        """Gives the window another size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Saves a picture of the whole page, or of what the window shows."""
        picture = self.call(
            "Page.captureScreenshot", captureBeyondViewport=whole
        )
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Starts Chromium with one page; skips where there is none.

    Where ``CI`` is set, a missing Chromium is a failure.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    folder = Path(tempfile.mkdtemp(prefix="moderate-chromium-"))
    process = subprocess.Popen(
        [
            program,
            *("--headless", "--no-sandbox", "--disable-gpu"),
            *("--remote-debugging-port=0", f"--user-data-dir={folder}"),
            *("--no-first-run", "--disable-extensions", "--hide-scrollbars"),
            *("--disable-dev-shm-usage", "--window-size=1280,1000"),
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        browser = Browser(_page_address(folder, process))
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _page_address(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    """Waits until Chromium says where it listens; returns its page."""
    port_file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "Chromium ended"
        lines = port_file.read_text().split() if port_file.exists() else []
        if len(lines) == 2:
            address = f"http://127.0.0.1:{lines[0]}/json/list"
            with urllib.request.urlopen(address) as answer:
                pages = json.loads(answer.read())
            for page in pages:
                if page["type"] == "page":
                    found: str = page["webSocketDebuggerUrl"]
                    return found
        time.sleep(POLL_SECONDS)
    pytest.fail("Chromium did not come up")
