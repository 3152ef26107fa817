"""Decks of slides in a real browser: figures drawn, formulas set, notes there, nothing asked of anybody."""

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_revealjs", reason="the docs extra is not installed")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import WIDE, Watched  # noqa: E402

from mfoml_course.course.slides import build_slides
from mfoml_course.course.workshop import workshop_notebooks

ROOT = Path(__file__).resolve().parent.parent
QUICK = "03_forests"
DECKS = [
    pytest.param(path.stem, marks=() if path.stem == QUICK else pytest.mark.slow)
    for path in workshop_notebooks(ROOT)
]
STANDING = "() => window.Reveal && Reveal.isReady()"
SEEN = """() => {
    const slide = Reveal.getCurrentSlide();
    const figures = [...slide.querySelectorAll('.mfoml-figure')];
    const formulas = [...slide.querySelectorAll('.math')].filter(one => !one.closest('aside'));
    const isDrawn = one => one.dataset.state === 'drawn' && one.clientWidth > 600 && one.querySelector('svg');
    return figures.every(isDrawn)
        && formulas.every(one => one.querySelector('mjx-container'));
}"""
PLACES = "() => Reveal.getSlides().map(one => Reveal.getIndices(one)).map(at => [at.h, at.v])"
WIDER = "() => Reveal.getCurrentSlide().scrollWidth > Reveal.getCurrentSlide().clientWidth + 1"


@pytest.fixture(scope="module")
def decks(tmp_path_factory, request):
    """The decks that this run opens, built once."""
    wanted = {item.callspec.params["name"] for item in request.session.items if "name" in _params(item)}
    return build_slides(ROOT, tmp_path_factory.mktemp("decks") / "out", names=tuple(sorted(wanted))).parent


def _params(item):
    """The parameters of a collected test of this file."""
    is_ours = item.path == Path(__file__).resolve()
    return item.callspec.params if is_ours and hasattr(item, "callspec") else {}


@pytest.mark.parametrize("name", DECKS)
def test_deck(browser, decks, name):
    """A deck shown slide by slide from the disk."""
    with browser.new_context(viewport=WIDE) as context:
        watched = Watched(context)
        watched.tab.goto((decks / f"{name}.html").as_uri())
        watched.tab.wait_for_function(STANDING)
        places = watched.tab.evaluate(
            "() => Reveal.getSlides().map(s => Reveal.getIndices(s)).map(i => [i.h, i.v])"
        )
        for h, v in places:
            watched.tab.evaluate("([h, v]) => Reveal.slide(h, v)", [h, v])
            watched.tab.wait_for_function(SEEN, polling=50)
            assert not watched.tab.evaluate(WIDER), f"slide {h}, {v} is wider than the screen"
        assert len(places) > 5 and watched.wrong == []


def test_notes_hold_the_prose(decks):
    """What a notebook says and a slide does not show is in the speaker's notes."""
    deck = (decks / f"{QUICK}.html").read_text(encoding="utf-8")
    notes = " ".join(re.findall(r'<aside class="notes">(.*?)</aside>', deck, re.S))
    assert len(re.sub("<[^>]*>", "", notes)) > 3000
