"""Pages of runs, populations and leagues in a real browser, without a network: what answers to the mouse does."""

import shutil

import numpy as np
import pytest

import shaping

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt install chromium")
TEXT_OF_TOOLTIP = """tip => {
  const inside = tip.shadowRoot ?? tip;
  const deeper = [...inside.querySelectorAll("*")].map(each => each.shadowRoot?.textContent ?? "");
  return inside.textContent + deeper.join(" ");
}"""
LEARNERS = {"still": {"rule": "naive", "step_size": 0.0}, "naive": {"rule": "naive"}}


def quiet(line):
    """Says nothing."""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """Opens a page; at the end no script may have failed, and nothing may have been asked of the network."""
    wrong, contexts = [], []

    def look(path, scheme="light", width=1280):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)[:300]))
        page.on("console", lambda said: wrong.append(said.text[:300]) if said.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url[:100]))
        page.goto(path.absolute().as_uri())
        page.wait_for_selector("table.dataTable", timeout=20_000)
        return page

    yield look
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def learning(tmp_path_factory):
    config = {"league": {"learners": LEARNERS}, "matches": 6, "updates": 8}
    return shaping.run(config, out=tmp_path_factory.mktemp("pages") / "learning", say=quiet)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    return shaping.league(against="all", out=tmp_path_factory.mktemp("pages") / "frozen")


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def column(page, heading, table=0):
    """The texts of a column of a table as they stand on the page."""
    found = page.locator("table.dataTable").nth(table)
    heads = found.locator("thead th").all_inner_texts()
    place = next(i for i, text in enumerate(heads) if text.split("\n")[0].strip() == heading)
    return [row.locator("td").nth(place).inner_text() for row in found.locator("tbody tr").all()]


def test_the_table_of_a_league_is_sorted_by_numbers_and_searched(frozen, opened):
    page = opened(frozen / "report" / "index.html")
    names = column(page, "player")
    page.locator("table.dataTable").first.locator("th", has_text="against itself").click()
    values = [float(text.replace("−", "-")) for text in column(page, "against itself")]
    assert values == sorted(values) and column(page, "player") != names
    page.locator(".dt-search input").first.fill("extort")
    assert column(page, "player") == [name for name in column(page, "player") if "extort" in name] != []


def test_a_cell_of_the_heat_map_shows_its_numbers_and_leads_to_its_player(learning, opened, tmp_path):
    folder = shaping.league([learning], cells=["0"], per_cell=2, against="tft", out=tmp_path / "league")
    page = opened(folder / "report" / "index.html")
    chart = page.locator("figure.chart").first
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    inside = page.evaluate(
        """() => { const plot = Bokeh.documents[0].roots()[0], view = Bokeh.index.get_by_id(plot.id);
        const frame = view.frame.bbox, box = view.el.getBoundingClientRect();
        return [box.x + frame.x0 + frame.width / 10, box.y + frame.y0 + frame.height / 10]; }"""
    )
    page.mouse.move(*inside)
    tip = page.locator(".bk-Tooltip").first
    tip.wait_for(timeout=5000)
    page.wait_for_timeout(200)
    said = tip.evaluate(TEXT_OF_TOOLTIP)
    assert "standard error" in said and "row is from" in said
    page.mouse.click(*inside)
    page.wait_for_function("location.hash.startsWith('#player-')", timeout=5000)
    row = page.locator("tr:target")
    named = said[said.index("row:") + 4 :].split()[0]
    assert row.locator("td").first.inner_text() == named
    assert "shaping replay" in row.inner_text() or "strategy" in row.inner_text()


def test_points_of_a_run_lead_to_their_matches(learning, opened):
    page = opened(learning / "report" / "index.html")
    record = shaping.load(learning).record
    final = record["value"].values[:, -1]
    page.locator("#single_values").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    # The match that is farthest from all others, so that nothing lies on top of it.
    apart = np.linalg.norm(final[:, None] - final[None], axis=-1) + np.where(np.eye(len(final), dtype=bool), 99, 0)
    match = int(apart.min(axis=1).argmax())
    at = page.evaluate(
        """([x, y]) => { const doc = Bokeh.documents.at(-1), plot = doc.roots().at(-1);
        const view = Bokeh.index.get_by_id(plot.id), box = view.el.getBoundingClientRect();
        return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]; }""",
        final[match].tolist(),
    )
    page.mouse.click(*at)
    page.wait_for_function(f"location.hash == '#match-{match}'", timeout=5000)
    assert f"shaping replay {learning} --match {match}" in page.locator("tr:target").inner_text()


def test_pages_are_light_and_dark_and_fit_a_laptop_and_paper(learning, opened):
    path = learning / "league" / "index.html"
    assert background(opened(path)) == "rgb(255, 255, 255)"
    dark = opened(path, scheme="dark")
    assert background(dark) == "rgb(22, 24, 29)"
    dark.emulate_media(media="print")
    assert background(dark) == "rgb(255, 255, 255)"
    assert dark.pdf()[:5] == b"%PDF-"
    for width in (1280, 800):
        page = opened(path, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_a_page_of_populations_is_one_of_these_too(opened, tmp_path):
    types = {"naive": {"share": "rest", "rule": "naive"}, "alld": {"share": 0.5, "strategy": "alld"}}
    population = {"size": 4, "types": types}
    config = {"population": population, "generations": 2, "matches": 3, "game": {"name": "ipd"}}
    page = opened(shaping.run(config, out=tmp_path / "ecology", say=quiet) / "report" / "index.html")
    assert "population 2" in page.locator("#match-2").inner_text()
    assert page.locator("figure.chart").count() == 1


def test_a_point_of_an_atlas_says_who_it_is_and_the_reader_chooses_its_colour(opened, tmp_path):
    pytest.importorskip("sklearn")
    small = {"episodes": 4, "rounds": 10, "updates": 2, "method": "pca", "clusters": 3}
    page = opened(shaping.atlas(tables=5, out=tmp_path / "atlas", **small) / "report" / "index.html")
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    place = page.evaluate(
        """() => { const plot = Bokeh.documents[0].roots()[0], view = Bokeh.index.get_by_id(plot.id);
        const points = Bokeh.documents[0].get_model_by_name("atlas_points"), box = view.el.getBoundingClientRect();
        const data = points.data_source.data, xs = Array.from(data.x), ys = Array.from(data.y);
        const gap = i => Math.min(...xs.map((x, j) => j == i ? 9e9 : Math.hypot(x - xs[i], ys[j] - ys[i])));
        const at = xs.map((_, i) => gap(i)).reduce((best, g, i, all) => g > all[best] ? i : best, 0);
        const frame = view.frame.bbox;
        return [box.x + frame.x0 + view.frame.x_scale.compute(xs[at]) - view.frame.x_scale.compute(plot.x_range.start),
                box.y + frame.y0 + view.frame.y_scale.compute(ys[at]) - view.frame.y_scale.compute(plot.y_range.end),
                data.more0[at]]; }"""
    )
    page.mouse.move(place[0], place[1])
    tip = page.locator(".bk-Tooltip").first
    tip.wait_for(timeout=5000)
    page.wait_for_timeout(200)
    said = tip.evaluate(TEXT_OF_TOOLTIP)
    assert place[2] in said and "nearest" in said and "P(C | start" in said
    page.select_option("#colouring", label="cooperation")
    field = page.evaluate("Bokeh.documents[0].get_model_by_name('atlas_points').glyph.fill_color.field")
    key = page.locator("[data-key]:not([hidden])")
    chosen = page.evaluate("document.querySelector('#colouring').value")
    assert field == f"colour{chosen}" != "colour0" and key.get_attribute("data-key") == chosen
