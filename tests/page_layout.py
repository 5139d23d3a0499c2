"""What a designer would find wrong with a page: a real browser lays it out at the size of a screen or of a phone."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from headless_browser import FLAGS, NO_PROXY, find_browser

SCREEN, PHONE = (1400, 900), (390, 844)
READ, WRITE = 3, 4  # descriptors at which the browser takes commands and answers
FAULTS = """(() => {
  const width = document.documentElement.clientWidth, phone = width < 600, found = [];
  const called = (element) => `${element.tagName} ${(element.textContent || "").trim().slice(0, 30)}`;
  if (document.documentElement.scrollWidth > width) found.push("the page scrolls sideways");
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (!box.width || !box.height) continue;
    const scrolls = element.closest(".scroll, .picture");
    if (box.right > width + 1 && !scrolls) found.push(`beyond the edge: ${called(element)}`);
    const writes = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (writes && !element.closest("svg") && parseFloat(style.fontSize) < 12) found.push(`small: ${called(element)}`);
    if (writes && style.overflowX === "hidden" && element.scrollWidth > element.clientWidth + 1)
      found.push(`cut: ${called(element)}`);
    const touched = phone && element.matches("a, button, select, summary, .bar label");
    if (touched && box.height < 28) found.push(`hard to touch: ${called(element)}`);
  }
  return found;
})()"""


def layout_faults(page, size):
    """Return what is wrong with a page at a size (width, height): text cut or too small, what cannot be touched."""
    (take, ours_out), (ours_in, answer) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        command = [find_browser(), *FLAGS, f"--user-data-dir={folder}", f"--proxy-server={NO_PROXY}"]
        browser = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {READ}<&{take} {WRITE}>&{answer}', "bash", *command, "--remote-debugging-pipe"],
            pass_fds=(take, answer),
            stderr=subprocess.DEVNULL,
        )
        os.close(take)
        os.close(answer)
        try:
            with os.fdopen(ours_out, "wb", buffering=0) as commands, os.fdopen(ours_in, "rb") as answers:
                return _ask(commands, answers, Path(page).resolve().as_uri(), size)
        finally:
            browser.terminate()
            browser.wait(20)


def _ask(commands, answers, address, size):
    sent, rest = 0, b""

    def call(method, session=None, **params):
        nonlocal sent, rest
        sent += 1
        message = {"id": sent, "method": method, "params": params} | ({"sessionId": session} if session else {})
        commands.write(json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in rest:
                got = answers.read1(1 << 20)
                assert got, "the browser has ended"
                rest += got
            one, _, rest = rest.partition(b"\0")
            said = json.loads(one)
            if said.get("id") == sent:
                assert "error" not in said, said
                return said["result"]

    target = call("Target.createTarget", url="about:blank")["targetId"]
    session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    width, height = size
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    call("Emulation.setDeviceMetricsOverride", session, **screen)
    loaded = "new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))"
    call("Page.navigate", session, url=address)
    call("Runtime.evaluate", session, expression=loaded, awaitPromise=True)
    return call("Runtime.evaluate", session, expression=FAULTS, returnByValue=True)["result"]["value"]
