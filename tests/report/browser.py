"""A headless Chromium, spoken to through a pair of pipes: no port, no driver, no package."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
)
#: Far more than a page takes, so that a slow machine does not fail.
SECONDS = 60


def find_browser():
    """The program, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser; events are kept as they come."""

    def __init__(self, program, folder):
        ours, theirs = os.pipe(), os.pipe()
        # The browser reads descriptor 3 and writes descriptor 4.
        plumbing = f'exec "$0" "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        command = [program, *QUIET, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", plumbing, *command],
            pass_fds=(ours[0], theirs[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.write_to, self.read_from = ours[1], theirs[0]
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self):
        self.session = None
        try:
            self.send("Browser.close")
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.write_to)
            os.close(self.read_from)

    def send(self, method, **parameters):
        """Ask, and wait for the answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.read_from], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self.read_from, 2**16)
            if not part:
                raise RuntimeError("the browser has ended")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, width=1280, height=900, *, phone=False, dark=False, scale=1):
        """Load a file, as wide as that, and wait until it is drawn."""
        self.events.clear()
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        self.send("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + SECONDS
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive(deadline))
        self.settle()

    def settle(self):
        """Wait until what has been asked for is drawn and its events have been told."""
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def value(self, expression):
        """What an expression of the page is worth."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def complaints(self):
        """Errors and warnings of the console, and what its policy refused."""
        found = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            if event.get("method") == "Log.entryAdded":
                found.append(parameters["entry"]["text"])
            if event.get("method") == "Runtime.consoleAPICalled":
                found.append(str(parameters["args"]))
        return found

    def requests(self):
        """Addresses of all that was asked for, but what stands in the page itself."""
        asked = [e["params"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [p["request"]["url"] for p in asked if not p["request"]["url"].startswith("data:")]

    def move_mouse(self, x, y):
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path, **options):
        answer = self.send("Page.captureScreenshot", **options)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self):
        answer = self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=False)
        return base64.b64decode(answer["data"])
