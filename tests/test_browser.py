"""The site in a real browser: every page, widths, themes, offline; and JupyterLab on workshop notebooks."""

import base64
import html.parser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import psutil
import pytest

pytest.importorskip("myst_nb", reason="the docs extra is not installed")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import NARROW, PATIENCE, PROBLEMS, READY, STATES, STILL, WIDE, Watched  # noqa: E402

from mfoml_course.course.server import serve_pages
from mfoml_course.course.site import SECTIONS, build_site, section_pages

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ["index", *(page for section in SECTIONS for page in section_pages(ROOT / "nbs", section))]
PAGES = [*NOTEBOOKS, *(f"{section}/index" for section in SECTIONS), "genindex", "search"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The course's site, built once; building raises on any warning."""
    return build_site(ROOT, tmp_path_factory.mktemp("site") / "pages").parent


@pytest.fixture(scope="module")
def watched(browser):
    """One tab for all pages."""
    with browser.new_context(viewport=WIDE, color_scheme="light") as context:
        yield Watched(context)


THOROUGHLY = ("index", "api/08_forest")  # in all four states, in every run
EVERY = 4  # library pages have one frame: the quick run opens one in four


def in_quick_run(number, page, state):
    """Pages take turns, wide and light or narrow and dark; of the library one in four is opened."""
    if page in THOROUGHLY:
        return True
    opened = not page.startswith("api/") or number % EVERY == 0
    return opened and state == list(STATES)[number // EVERY % 2]


def page_states():
    """Each page in each state, those that the quick run leaves out marked as slow."""
    for number, page in enumerate(PAGES):
        for state in STATES:
            marks = () if in_quick_run(number, page, state) else pytest.mark.slow
            yield pytest.param(page, state, marks=marks, id=f"{page}, {state}")


@pytest.mark.parametrize("page, state", list(page_states()))
def test_page(watched, site, page, state):
    """A page at a width and in a theme, opened from the disk."""
    assert watched.problems(site / f"{page}.html", state) == []


def test_a_phone_and_a_switch(browser, site):
    """The start page opened on a phone in the dark; then the theme's button."""
    with browser.new_context(viewport=NARROW, color_scheme="dark") as context:
        watched = Watched(context)
        watched.tab.goto((site / "index.html").as_uri())
        watched.tab.wait_for_function(READY, polling=100)
        watched.tab.evaluate(STILL)
        assert watched.tab.evaluate(PROBLEMS, "dark") == []
        watched.tab.set_viewport_size(WIDE)
        watched.tab.locator(".theme-switch-button").first.click()
        watched.tab.locator("button.theme-change-button[data-mode=light]").first.click()
        watched.tab.wait_for_function(READY, polling=100)
        watched.tab.evaluate(STILL)
        assert watched.tab.evaluate(PROBLEMS, "light") == [] and watched.wrong == []


def test_pale_marks_and_low_plots_are_found(watched, site):
    """The checks of a page find a mark that is too pale, and on a phone a plot that is too low."""
    state = "narrow, light"
    assert watched.problems(site / "index.html", state) == []
    watched.tab.evaluate("document.querySelector('.barlayer .point path').style.fill = '#8899aa'")
    watched.tab.evaluate("document.querySelector('.mfoml-plot')._fullLayout._size.h = 90")
    found = watched.tab.evaluate(PROBLEMS, STATES[state][1])
    assert [problem[:30] for problem in found] == [
        "figure 1: contrast 2.92 of a m",
        "figure 1: a plot of 90 px, 220",
    ]


def test_search_and_copy(browser, site):
    """Served on loopback: search finds a function, and a code cell has a button that copies it."""
    addresses, answered = [], threading.Event()

    def ready(url):
        addresses.append(url)
        answered.set()

    threading.Thread(target=serve_pages, args=(site, 0), kwargs={"ready": ready}, daemon=True).start()
    assert answered.wait(30)
    with browser.new_context(viewport=WIDE, permissions=["clipboard-read", "clipboard-write"]) as context:
        watched = Watched(context, allowed=(addresses[0], "data:", "blob:"))
        watched.tab.goto(f"{addresses[0]}search.html?q=simplex_vertices")
        watched.tab.wait_for_selector("#search-results li a")
        targets = watched.tab.eval_on_selector_all(
            "#search-results li a", "links => links.map(link => link.getAttribute('href'))"
        )
        assert any("api/01_simplex.html" in target for target in targets)
        watched.tab.goto(f"{addresses[0]}index.html")
        watched.tab.hover(".cell_input >> nth=0")
        watched.tab.click(".cell_input button.copybtn >> nth=0")
        copied = watched.tab.evaluate("navigator.clipboard.readText()")
        assert (
            copied.startswith("from sklearn.model_selection import train_test_split\n\nfrom mfoml_course")
            and "plot_importance(" in copied
        )
        assert watched.wrong == []


QUESTION = "Why a graphics card? Why PyTorch?"  # a heading of the first notebook, with a figure below it
TOUCHED = """name => {
    const headings = [...document.querySelectorAll('section > h2')];
    const heading = headings.find(one => one.textContent.startsWith(name));
    const figure = heading.parentElement.querySelector('.mfoml-figure');
    return Math.abs(heading.getBoundingClientRect().top) < innerHeight && figure.dataset.state === 'drawn'
        && figure.querySelector('svg.main-svg').getBoundingClientRect().width <= innerWidth;
}"""


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["phone", "laptop"])
def test_three_taps_from_the_start_page_to_a_figure(browser, site, size):
    """The start page, its first button, the contents, a question: a figure that answers it stands below."""
    with browser.new_context(viewport=size, has_touch=size is NARROW, color_scheme="light") as context:
        watched = Watched(context)
        tab, taps = watched.tab, 0
        tab.goto((site / "index.html").as_uri())
        start = tab.locator(".bd-article a:has-text('Start here')").first
        assert start.bounding_box()["y"] < size["height"]  # seen without scrolling
        ways = [start, tab.locator(f"a.nav-link:visible:has-text('{QUESTION}')").first]
        if size is NARROW:
            ways.insert(1, tab.locator("button.secondary-toggle").first)
        for way in ways:
            way.tap() if size is NARROW else way.click()
            taps += 1
            tab.wait_for_load_state()
        tab.wait_for_function(READY, polling=100)
        tab.wait_for_function(TOUCHED, arg=QUESTION, polling=100)
        assert taps <= 3 and watched.wrong == []


COLOURS = re.compile(r'<span class="[^"]*">|</span>')  # nine tags in ten of a page with code


class Links(html.parser.HTMLParser):
    """A page's anchors, links and resources."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.resources = set(), set(), set()
        self.feed(COLOURS.sub("", path.read_text(encoding="utf-8")))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])
        elif tag in ("script", "img", "iframe", "source", "link") and values.get("rel") not in (
            "index",
            "search",
            "next",
            "prev",
        ):
            self.resources |= {values[key] for key in ("src", "href") if values.get(key)}


def test_links(site):
    """No link of a page leads nowhere, and no page needs anything from outside."""
    pages = {path.resolve(): Links(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    dead, outside = set(), set()
    for path, page in pages.items():
        outside |= {
            f"{path.name}: {address}" for address in page.resources if re.match(r"(https?:)?//", address)
        }
        for address in page.links | page.resources:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            ):
                dead.add(f"{path.relative_to(site.resolve())}: {address}")
    assert (dead, outside) == (set(), set())


def test_library_pages_document_their_names(site):
    """A library page has an entry with a table, links from code names, and links to edit and download it."""
    page = (site / "api" / "01_simplex.html").read_text(encoding="utf-8")
    assert (
        'id="mfoml_course.simplex.encode_labels"' in page
        and "<th" in page
        and ">shape<" in re.sub(r"</?p>", "", page)
    )
    assert (
        "/edit/main/nbs/api/01_simplex.ipynb" in page
        and 'href="../notebooks/api/01_simplex.ipynb" download' in page
    )
    start = (site / "index.html").read_text(encoding="utf-8")
    assert 'class="code-link" href="api/08_forest.html#mfoml_course.forest.WaveletForestRegressor"' in start


IN_LAB = (
    "06_besov",
    "09_neural_collapse",
)  # figures and formulas, and a figure that is drawn anew while it runs; the others in the full run
WORKSHOP = [
    pytest.param(path.stem, marks=() if path.stem in IN_LAB else pytest.mark.slow)
    for path in sorted((ROOT / "nbs" / "workshop").glob("*.ipynb"))
]
LAB = [
    sys.executable,
    "-c",
    "from mfoml_course.course.cli import main; main()",
    "lab",
    "--no-browser",
    "--port",
]


def lab_folders(place):
    """Where a JupyterLab of the tests keeps its things, and the one setting that it is given."""
    setting = place / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    setting.parent.mkdir(parents=True)
    setting.write_text('{"windowingMode": "none"}')  # cells out of sight are drawn too, so that we see them
    return {
        "JUPYTERLAB_SETTINGS_DIR": str(place / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(place / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "IPYTHONDIR": str(place / "ipython"),
    }


def copied_course(place):
    """The workshop, its settings, start page and tables, in a folder of their own."""
    shutil.copytree(ROOT / "nbs" / "workshop", place / "nbs" / "workshop")
    for path in (ROOT / "settings.ini", ROOT / "nbs" / "index.ipynb", *(ROOT / "nbs").glob("*.yml")):
        shutil.copy(path, place / path.relative_to(ROOT))
    return place


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """`mfoml lab` on a copy of the workshop, and a tab for its notebooks: process, address, folder, tab."""
    place = tmp_path_factory.mktemp("lab")
    course = copied_course(place / "course")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, **lab_folders(place), "MFOML_BUDGET": "smoke"}
    pipes = {"stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    server = subprocess.Popen([*LAB, str(port)], cwd=course, env=environment, **pipes)
    try:
        found = (re.search(r"http://127\.0\.0\.1:\d+/\S*token=\w+", line) for line in server.stderr)
        address = next(filter(None, found))[0]
        threading.Thread(target=server.stderr.read, daemon=True).start()
        origin = re.match(r"http://[^/]+/", address)[0]
        with browser.new_context(viewport={"width": 1400, "height": 1000}) as context:
            watched = Watched(context, allowed=(origin, "data:", "blob:"))
            sockets = origin.replace("http", "ws")
            watched.tab.on("websocket", lambda to: to.url.startswith(sockets) or watched.wrong.append(to.url))
            yield server, address, course / "nbs" / "workshop", watched
    finally:
        server.kill()
        server.wait()


RAN = r"""() => {
    const found = document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt');
    const prompts = [...found].map(prompt => prompt.textContent);
    return prompts.length > 5 && prompts.every(prompt => /\d/.test(prompt));
}"""
PLOTLY = "application/vnd.plotly.v1+json"
DRAWN = """() => [...document.querySelectorAll(
    '.jp-OutputArea-output[data-mime-type="application/vnd.plotly.v1+json"], .jp-RenderedPlotly')].every(
        output => output.querySelector('svg.main-svg')?.getBoundingClientRect().width > 100)"""


DOTS = """() => [...document.querySelectorAll('.jp-Notebook .js-plotly-plot')].map(
    figure => figure.querySelectorAll('.scatterlayer .points path.point').length)"""


FEW_POINTS = 20  # a scatter without a mode has dots where it has fewer points


def heights(trace):
    """The numbers of a trace's y, unpacked."""
    y = trace["y"]
    if not isinstance(y, dict):
        return y
    return np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"])  # plotly's packed numbers


def dots_of(figure):
    """How many dots a figure has: those of its visible scatters at which the height is a number."""
    total = 0
    for trace in figure["data"]:
        if trace.get("visible", True) is not True or trace["type"] != "scatter":
            continue
        y = heights(trace)
        if "markers" in trace.get("mode", "markers" if len(y) < FEW_POINTS else "lines"):
            total += sum(value is not None and value == value for value in y)
    return total


def shown_in(notebook):
    """The number of dots of each figure in a notebook's outputs, and whether its text has formulas."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = [output.get("data", {}).get(PLOTLY) for cell in cells for output in cell.get("outputs", [])]
    formulas = any("$" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return [dots_of(figure) for figure in found if figure], formulas


def kernels_of(server):
    """The kernels that a Jupyter server has started."""
    children = psutil.Process(server.pid).children(recursive=True)
    return [child for child in children if "ipykernel_launcher" in " ".join(child.cmdline())]


@pytest.mark.parametrize("name", WORKSHOP)
def test_a_workshop_notebook_in_jupyterlab(lab, name):
    """Opened with its token and run: figures with all dots, formulas, no error, nothing asked outside."""
    server, address, folder, watched = lab
    dots, has_formulas = shown_in(folder / f"{name}.ipynb")
    tab = watched.tab
    tab.goto("about:blank")  # what the notebook before had still asked for is given up
    watched.wrong.clear()
    tab.goto(re.sub(r"/lab\S*\?", f"/lab/tree/nbs/workshop/{name}.ipynb?reset&", address))
    tab.wait_for_selector(".jp-Notebook .jp-CodeCell")
    tab.wait_for_selector("text=/\\| Idle$/")
    assert tab.locator(".jp-toastContainer button").all_inner_texts() == []  # nothing is asked
    tab.click(".lm-MenuBar-item:has-text('Run') >> nth=0")
    tab.click("li.lm-Menu-item[data-command='runmenu:run-all']")
    # asked at every frame, a loaded machine would do nothing else
    tab.wait_for_function(RAN, polling=1000, timeout=3 * PATIENCE)
    tab.wait_for_function(DRAWN, polling=500)
    figures, formulas = map(tab.locator, (".jp-Notebook svg.main-svg", ".jp-Notebook mjx-container"))
    assert figures.count() >= len(dots) and bool(formulas.count()) >= has_formulas
    assert tab.locator("mjx-merror").count() == 0 and tab.evaluate(DOTS) == dots
    errors = tab.locator(
        "[data-mime-type='application/vnd.jupyter.error'],[data-mime-type='application/vnd.jupyter.stderr']"
    )
    assert errors.all_inner_texts() == [] and watched.wrong == []
    assert {kernel.cmdline()[0] for kernel in kernels_of(server)} == {sys.executable}


@pytest.mark.slow
def test_a_notebook_that_is_only_opened_stays_saved(lab):
    """Without outputs: plotly keeps a picture of each figure that it draws, which marks the notebook."""
    server, address, folder, watched = lab
    notebook = json.loads((folder / "03_forests.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = [{**cell, "outputs": []} if "outputs" in cell else cell for cell in notebook["cells"]]
    (folder / "read_only.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    watched.tab.goto(re.sub(r"/lab\S*\?", "/lab/tree/nbs/workshop/read_only.ipynb?reset&", address))
    watched.tab.wait_for_selector("text=/\\| Idle$/")
    watched.tab.wait_for_timeout(2000)
    assert watched.tab.locator(".jp-mod-dirty").count() == 0


def test_jupyterlab_ends_with_its_kernels(lab):
    """A server that is told to end takes the kernels of the notebooks above with it."""
    server, *_ = lab
    kernels = kernels_of(server)
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0
    psutil.wait_procs(kernels, timeout=10)
    assert kernels and not any(kernel.is_running() for kernel in kernels)
