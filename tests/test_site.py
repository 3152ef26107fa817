"""The README is the start page, its pictures are its figures, and the same notebooks give the same pages."""

import filecmp
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("myst_nb", reason="the docs extra is not installed")

from mfoml_course.course.readme import is_drawn, listed_index, notebook_markdown, readme_text
from mfoml_course.course.report import render_report
from mfoml_course.plots.figures import ON_DARK

MEND = "run: mfoml docs --readme"


def test_start_page_lists_every_notebook(root):
    assert (root / "nbs" / "index.ipynb").read_text(encoding="utf-8") == listed_index(root), MEND


def test_readme_is_the_start_page(root):
    assert (root / "README.md").read_text(encoding="utf-8") == readme_text(root), MEND


def test_readme_opens_with_the_two_commands(root):
    install = 'python3 -m venv .venv && .venv/bin/pip install -e ".[dev]" && .venv/bin/mfoml'
    commands = [
        line
        for line in (root / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("python3")
    ]
    assert commands == [f"{install} workshop", f"{install} test"]


def test_pictures_show_the_figures(root):
    _, figures = notebook_markdown(root / "nbs" / "index.ipynb")
    assert figures
    for number, figure in enumerate(figures, 1):
        assert is_drawn(root / "nbs" / "images" / f"index-{number}.svg", figure), MEND


def test_readme_links_and_pictures_exist(root):
    links = re.findall(r"\]\(([^)#\s]+)", (root / "README.md").read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local and not [link for link in local if not (root / link).is_file()]
    assert all((root / link).stat().st_size < 100_000 for link in local if link.endswith((".svg", ".png")))


def make_notebook(path, *sources):
    cells = [{"cell_type": "markdown", "id": "m", "metadata": {}, "source": source} for source in sources]
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8"
    )
    return path


def test_the_same_notebooks_give_the_same_pages(tmp_path, root):
    notebook = make_notebook(
        tmp_path / "01_one.ipynb",
        "# One\n\n> The first.\n\n$$\nx^2\n$$",
        "An $$unclosed formula\n\n[nowhere](none.ipynb)",
    )
    first, second = (
        render_report([notebook], tmp_path / name, root=root).parent for name in ("first", "second")
    )
    files = sorted(path.relative_to(first) for path in Path(first).rglob("*") if path.is_file())
    _, mismatch, errors = filecmp.cmpfiles(first, second, files, shallow=False)
    assert (mismatch, errors) == ([], [])


def test_a_report_needs_notebooks(tmp_path, root):
    with pytest.raises(FileNotFoundError, match="no executed notebook"):
        render_report([tmp_path / "none.ipynb"], tmp_path / "report", root=root)
    assert not (tmp_path / "report").exists()


def test_the_site_draws_the_palette_of_the_plots(root):
    script = (root / "mfoml_course" / "data" / "site" / "static" / "figures.js").read_text(encoding="utf-8")
    table = script.partition("const ON_DARK = {")[2].partition("};")[0]
    assert dict(re.findall(r'"(#\w+)": "(#\w+)"', table)) == ON_DARK
