# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium that is spoken to over pipes, in the DevTools protocol: it listens on no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")


class Browser:
    """One page of one browser; everything that it complains about is kept in ``complaints``."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="seguest-chromium-")
        to_child, self._to = os.pipe()
        self._from, from_child = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        relay = f'exec 3<&{to_child} 4>&{from_child}; exec "$@"'
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", relay, "bash", str(PROGRAM), *options], pass_fds=(to_child, from_child),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        self._answers = os.fdopen(self._from, "rb")
        self._last = 0
        self._session: str | None = None
        self._rest = b""
        self.complaints: list[str] = []
        self._events: list[str] = []
        targets = self.ask("Target.getTargets")["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        """End the browser and remove its profile."""
        self._process.terminate()
        self._process.wait()
        self._answers.close()
        os.close(self._to)
        shutil.rmtree(self._profile, ignore_errors=True)

    def ask(self, method: str, **params: Any) -> Any:
        """Send a command and wait for its answer."""
        self._last += 1
        command: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def open(self, page: Path) -> None:
        """Show a file and wait until it is loaded."""
        self._events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._next()

    def value(self, expression: str, wait: bool = False) -> Any:
        """What a JavaScript expression is in the page; with ``wait``, what it promises."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def size(self, width: int, height: int) -> None:
        """Make the window this large, in CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def colours(self, scheme: str) -> None:
        """Prefer ``light`` or ``dark``."""
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._from, 1 << 16)
            if not more:
                raise RuntimeError("the browser ended")
            self._rest += more
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        method = message.get("method", "")
        self._events.append(method)
        requested = message.get("params", {}).get("request", {}).get("url", "")
        if method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled") or (
            method == "Network.requestWillBeSent" and not requested.startswith("file:")
        ):
            self.complaints.append(json.dumps(message["params"]))
        return message
