"""A real browser without a window: what a page becomes in it, and what it complains of or asks for."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What chromium would otherwise ask the network for on its own account.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--disable-default-apps", "--disable-extensions", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
MILLISECONDS = 4000  # of the page's own time
NO_PROXY = "127.0.0.1:9"
THE_BROWSER_ITSELF = "not an origin"  # initiator of what no page asked for


@dataclass(frozen=True)
class Visit:
    """What became of a page.

    Attributes:
        dom: the document after its scripts have run.
        console: what it wrote to the console, errors among it.
        requests: addresses that it asked for beyond its own file, answered or not.
    """

    dom: str
    console: list[str]
    requests: list[str]


def find_browser():
    """The browser's command; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)")
    return found


def visit(page, *, size=(1280, 900), dark=False, screenshot=None):
    """Open a file in the browser, which reaches no network: everything goes to a proxy that is not there."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "network.json"
        command = [
            *(find_browser(), *FLAGS, f"--user-data-dir={folder}/profile", f"--window-size={size[0]},{size[1]}"),
            *(f"--virtual-time-budget={MILLISECONDS}", "--enable-logging=stderr", "--v=0", f"--log-net-log={log}"),
            *(f"--proxy-server={NO_PROXY}", "--proxy-bypass-list=<-loopback>"),
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        ]
        if screenshot is not None:
            _run([*command, f"--screenshot={screenshot}", Path(page).resolve().as_uri()])
        done = _run([*command, "--dump-dom", Path(page).resolve().as_uri()])
        assert "<html" in done.stdout, done.stderr
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return Visit(done.stdout, console, _requests(log))


def _run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, encoding="utf-8", errors="replace")


def _requests(log):
    """Addresses that pages asked for, by the browser's own log; its own errands (updates, time) are left out."""
    text = log.read_text(errors="replace").rstrip().rstrip(",")
    try:
        values = json.loads(text)
    except json.JSONDecodeError:  # cut short when the browser ended
        values = json.loads(f"{text}]}}")
    started = [event["params"] for event in values["events"] if "initiator" in event.get("params", {})]
    asked = {params["url"] for params in started if params["initiator"] != THE_BROWSER_ITSELF}
    return sorted(address for address in asked if not address.startswith(("data:", "file:")))
