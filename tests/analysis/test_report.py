import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np

from shaping.analysis.record import open_record
from shaping.analysis.report import render, write_report
from shaping.analysis.summary import summarise


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.references = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.references += [value for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def cells(number=2):
    rng = np.random.default_rng(0)
    return [
        {
            "policy": rng.uniform(size=(8, 2, 5)),
            "value": rng.uniform(-2, -1, size=(8, 2)),
            "coordinates": {"variant": f"<b>{i}</b> & more"},
        }
        for i in range(number)
    ]


def config():
    entry = {"cell": {"variant": "<b>0</b> & more"}, "metric": "value_mean", "value": -1.5, "runs": 50}
    return {
        "title": "A <script>alert(1)</script> run",
        "description": "what & why",
        "game": {"name": "ipd", "discount": 0.96},
        "published": [entry | {"sd": 0.3, "source": "Someone & al."}],
    }


def test_the_page_is_whole_and_refers_to_nothing_outside_itself(write_record):
    run = write_record(cells(), config=config())
    summarise(run, timing={"run_s": 1.5, "devices": {"count": 2}})
    path = write_report(run)
    text = path.read_text()
    # What is between script tags is the browser's business: tests/test_pages.py looks at it in one.
    text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    page = Page(text)
    assert path == run / "report" / "index.html"
    assert page.open == []
    assert page.references and all(r.startswith("data:image/png;base64,") for r in page.references)
    assert 'id="match-7"' in text and "shaping replay" in text
    assert not re.search(r"https?://|file:|<script|@import|url\(", text)
    for said in ("8 matches", "agrees", "Someone &amp; al.", "run s", "Resolved configuration"):
        assert said in text


def test_text_from_the_configuration_is_escaped(write_record):
    run = write_record(cells(), config=config())
    text = render(open_record(run), summarise(run), [])
    assert "<b>0</b>" not in text and "&lt;b&gt;0&lt;/b&gt; &amp; more" in text
    assert "A &lt;script&gt;" in text


def test_a_missing_summary_is_made_and_figures_stand_beside_the_page(write_record):
    run = write_record(cells(), config=config())
    folder = write_report(run).parent
    assert (run / "summary.json").exists()
    assert {p.name for p in folder.glob("*.png")} >= {"learning_curves.png", "outcomes.png", "policies.png"}


def test_sixty_cells_are_listed_and_the_rest_is_in_the_summary(write_record):
    run = write_record(cells(63))
    text = render(open_record(run), summarise(run), [])
    assert "first 60 of 63 cells" in text
    table = text[text.index("<h2>Cells") : text.index('<h2 id="matches"')]
    assert table.count("<tr>") == 61


def test_the_games_of_variants_are_named_not_the_one_they_replace(write_record):
    pennies = {"game": {"name": "matching_pennies", "discount": 0.9}}
    run = write_record(cells(), config=config() | {"variants": {"A": pennies, "B": pennies}})
    text = render(open_record(run), summarise(run), [])
    assert "on matching pennies (discount 0.9)." in text and "prisoner" not in text.split("<details")[0]


def test_importing_the_analysis_loads_neither_jax_nor_matplotlib_nor_xarray():
    code = (
        "import sys, shaping.analysis.report, shaping.analysis.summary; "
        "print([m for m in ('matplotlib', 'xarray', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
