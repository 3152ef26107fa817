"""What several tests need: the checkout, and small courses to run the commands on."""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def make_course(root, tmp_path):
    """Make a course of workshop notebooks: make_course(name=[cell, ...])."""

    def make(**notebooks):
        folder = tmp_path / "course"
        (folder / "nbs" / "workshop").mkdir(parents=True)
        shutil.copy(root / "settings.ini", folder)
        for name, sources in notebooks.items():
            cells = [new_markdown_cell(f"# {name}"), *map(new_code_cell, sources)]
            nbformat.write(new_notebook(cells=cells), folder / "nbs" / "workshop" / f"{name}.ipynb")
        return folder

    return make


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, headless."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from pages import CHROMIUM, started_browser

    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the path")
    with started_browser() as started:
        yield started
