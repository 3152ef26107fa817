"""Every page of a built site, looked at in a real browser: at 390 and 1280 px, in both themes.

python tests/pages.py --site FOLDER [--page NAME ...] prints what is wrong with each page and leaves with 1 if
anything is. `mfoml docs --out FOLDER` builds a site.
"""

import argparse
import contextlib
import shutil
import sys
from pathlib import Path

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
STATES = {
    "wide, light": (WIDE, "light"),
    "narrow, dark": (NARROW, "dark"),
    "wide, dark": (WIDE, "dark"),
    "narrow, light": (NARROW, "light"),
}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
PATIENCE = 90_000  # ms, for a machine that does much else
READY = """() => [...document.querySelectorAll('.mfoml-figure')].every(figure =>
        ['drawn', 'hidden'].includes(figure.dataset.state)
        && Math.abs(figure.mfomlWidth - figure.clientWidth) < 2)
    && [...document.querySelectorAll('.math')].every(formula => formula.querySelector('mjx-container'))"""
PROBLEMS = Path(__file__).with_name("page_problems.js").read_text(encoding="utf-8")
STILL = """() => Promise.race([
    Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => 0))),
    new Promise(done => setTimeout(done, 2000)),  // one that was replaced by another never finishes
])"""
NO_PAGES = ("_static", "notebooks")  # folders of a site


@contextlib.contextmanager
def started_browser():
    """The system's Chromium, headless; LookupError where there is none."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise LookupError("no chromium, chromium-browser or google-chrome on the path")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A tab, and what went wrong in it: errors in the console, failed requests, requests to the outside."""

    def __init__(self, context, allowed=("file:", "data:", "blob:")):
        self.tab, self.wrong = context.new_page(), []
        self.tab.set_default_timeout(PATIENCE)
        self.tab.on(
            "console",
            lambda message: message.type == "error" and self.wrong.append(f"console: {message.text}"),
        )
        self.tab.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.tab.on("requestfailed", self.failed)
        self.tab.on(
            "request",
            lambda request: request.url.startswith(allowed) or self.wrong.append(f"outside: {request.url}"),
        )

    def failed(self, request):
        """A file that could not be loaded; one whose page was left before it came is none."""
        if "ERR_ABORTED" not in (request.failure or ""):
            self.wrong.append(f"failed: {request.url} {request.failure}")

    def problems(self, page, state):
        """What is wrong with a page from the disk, at a width and in a theme, in words."""
        size, theme = STATES[state]
        self.wrong.clear()
        self.tab.set_viewport_size(size)
        self.tab.goto(page.as_uri())
        self.tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        self.tab.wait_for_function(READY, polling=100)
        self.tab.evaluate(STILL)  # colours change slowly
        return [*self.tab.evaluate(PROBLEMS, theme), *self.wrong]


def site_pages(site):
    """The pages of a site, by their paths without the ending."""
    found = [path.relative_to(site) for path in sorted(Path(site).rglob("*.html"))]
    return [path.with_suffix("").as_posix() for path in found if path.parts[0] not in NO_PAGES]


def main(arguments=None):
    """Look at the pages that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", type=Path, required=True, help="a folder that mfoml docs built")
    parser.add_argument("--page", action="append", help="its path in the site, like workshop/03_forests")
    options = parser.parse_args(arguments)
    pages = site_pages(options.site) if options.site.is_dir() else []
    if unknown := sorted({*(options.page or pages)} - {*pages}) or not pages:
        parser.error(f"{options.site} holds no page {unknown if pages else 'at all'}")
    n_wrong = 0
    with started_browser() as browser, browser.new_context(viewport=WIDE, color_scheme="light") as context:
        watched = Watched(context)
        for page in options.page or pages:
            for state in STATES:
                for problem in watched.problems((options.site / f"{page}.html").resolve(), state):
                    n_wrong += 1
                    print(f"{page}, {state}: {problem}", flush=True)
    print(f"{len(options.page or pages)} pages in {len(STATES)} states: {n_wrong} problems")
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
