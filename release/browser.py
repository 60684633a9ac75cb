"""A headless Chromium that shows pages in light, dark, on a phone or in print, and answers questions about them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--allow-file-access-from-files", "--remote-debugging-pipe",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """How a page is shown: the window's size in CSS pixels, colours and medium."""

    name: str
    width: int = 1100
    height: int = 800
    dark: bool = False
    medium: str = "screen"


VIEWS = (
    View("light"),
    View("dark", dark=True),
    View("phone", width=390),
    View("print", width=720, medium="print"),
)


def binary() -> str | None:
    """The browser's program, where there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page of a browser of our own, driven over a pipe by the DevTools protocol."""

    def __init__(self) -> None:
        program = binary()
        if program is None:
            raise SystemExit("no chromium on the path: install one, on Debian by `apt-get install chromium`")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # the browser reads commands from its descriptor 3 and answers on 4
        # (by /dev/fd: a plain shell takes no number of two digits)
        shell = f'exec "$0" "$@" 3</dev/fd/{theirs_in} 4>/dev/fd/{theirs_out}'
        words = [program, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", shell, *words],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        self._asked, self._session, self._rest = 0, "", b""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Page.setBypassCSP", enabled=True)  # pages of ours let no script run
        # the docs remember the colours of the view before
        self.ask("Page.addScriptToEvaluateOnNewDocument", source="try { localStorage.clear() } catch {}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = ""
        self._send("Browser.close")
        self._out.close()
        self._process.wait(timeout=30)
        self._in.close()
        self._profile.cleanup()

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """The answer to one command."""
        number = self._send(method, **parameters)
        while (found := self._next()).get("id") != number:
            pass
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']['message']}")
        answer: dict[str, Any] = found["result"]
        return answer

    def show(self, page: Path, view: View) -> None:
        """Load a page of the disk, seen so."""
        self.open(page.resolve().as_uri(), view)

    def open(self, address: str, view: View) -> None:
        """Load the page of an address, seen so."""
        scheme = "dark" if view.dark else "light"
        self.ask(
            "Emulation.setEmulatedMedia",
            media=view.medium,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=view.width,
            height=view.height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._send("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def value(self, script: str) -> Any:
        """What a script gives, awaited; it must be JSON."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def picture(self, height: int) -> bytes:
        """The page from its top as a PNG, at most `height` CSS pixels of it."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], height), "scale": 1}
        found = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def _send(self, method: str, **parameters: object) -> int:
        self._asked += 1
        message: dict[str, object] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        return self._asked

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._in.read1(1 << 20)
            if not part:
                raise SystemExit("the browser ended before it answered")
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found
