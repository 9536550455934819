"""What the tests share that look at the console in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

PATIENCE = 120.0  # seconds; a machine under load starts a browser and a service slowly
PROGRAM = Path(sys.executable).with_name("gatewright")


@contextmanager
def served(config: Path, data: Path) -> Generator[str]:
    """The address of a service in a process of its own."""
    command = [str(PROGRAM), "serve", "--json", "--port", "0", "--config", str(config), "--data-dir", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.communicate(timeout=60)


class Watched:
    """A page, with what the browser complained of and where it went."""

    def __init__(self, page: Page, url: str) -> None:
        page.set_default_timeout(PATIENCE * 1000)
        self.page = page
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith(url) else self.elsewhere.append(sent.url))


def sign_in(page: Page, url: str, name: str) -> None:
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(url)
    page.get_by_label("Your token").fill(name)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("At a glance").wait_for()


FAINT = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own) continue;
    const [one, two] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const said = element.textContent.trim().slice(0, 40);
    if (contrast < 4.5) faint.push(`${element.tagName} ${said} ${contrast.toFixed(1)}`);
  }
  return faint;
}"""
