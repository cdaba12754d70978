"""The site in a real browser, from files and from a server."""

import dataclasses

import pytest
from report.site_of import good, hostile, serving
from support.browsing import browser, show
from support.fake_records import make_record, make_spec

from rnnbench.report.site import names
from rnnbench.report.site.writer import write_site
from rnnbench.results.store import Store

__all__ = ["browser"]


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    write_site(good(), folder / "good")
    write_site(hostile(), folder / "hostile")
    return folder


def run_of(found, **asked):
    (run, *_) = [
        r for r in found.records
        if all(getattr(r.spec, k) == v for k, v in asked.items())
    ]  # fmt: skip
    return names.run_link(run.spec.task.name, run.run_id)


def pages_of(sites, which):
    folder, found = sites / which, {"good": good, "hostile": hostile}[which]()
    pages = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.html"))
    task = found.tasks[0]
    pages += [names.run_link(task), run_of(found, seed=1, test=True)]
    return [f"{folder.as_uri()}/{page}" for page in pages]


def settled(browser):
    """Wait until the scripts of a run's page have put it together."""
    browser.execute_async_script(
        "const done = arguments[0]; let n = 0; const look = () => "
        "(!document.getElementById('run') || document.querySelector('#run > *:not(noscript)') "
        "|| ++n > 100) ? setTimeout(done, 100) : setTimeout(look, 20); look();"
    )
    return browser.get_log("browser")


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("which", ["good", "hostile"])
def test_every_page_opens_from_a_disk_without_errors_and_fits_its_window(
    browser, sites, which, width
):
    for address in pages_of(sites, which):
        assert show(browser, address, width) == [], address
        assert settled(browser) == [], address
        size = "return [document.documentElement.scrollWidth, window.innerWidth]"
        found, window = browser.execute_script(size)
        assert window == width, address
        assert found <= width, address
        assert browser.execute_script("return document.querySelector('main').innerText.length > 20")


def test_nothing_hostile_runs_or_loads_and_it_is_shown_as_text(browser, sites):
    for address in pages_of(sites, "hostile"):
        show(browser, address)
        assert settled(browser) == []
        assert browser.execute_script("return window.hacked === undefined"), address
        assert browser.execute_script("return document.images.length") == 0, address
        inside = "return document.querySelectorAll('main script, iframe, object, embed').length"
        assert browser.execute_script(inside) == 0, address
        links = "return [...document.links].map(a => a.protocol)"
        assert set(browser.execute_script(links)) <= {"file:", "https:"}, address
        shown = browser.execute_script("return document.body.innerText")
        assert "<img src=x onerror=window.hacked=1>" in shown, address


@pytest.mark.parametrize("hash", [
    "../../../../evil", "constructor", "__proto__/x", "%2e%2e%2fevil", "char-lm/<img src=x>",
    "char-lm/__proto__", "char-lm/toString", "%", "javascript:alert(1)",
])  # fmt: skip
def test_a_crafted_link_loads_nothing_but_the_sites_own_files(browser, sites, hash):
    (sites / "evil.js").write_text("window.hacked = 1")
    show(browser, f"{(sites / 'good' / 'run.html').as_uri()}#{hash}")
    settled(browser)
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.images.length") == 0
    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert all("/good/data/" in name for name in browser.execute_script(loaded))


def test_a_runs_page_tells_figures_curves_settings_and_the_command(browser, sites):
    show(browser, f"{(sites / 'good').as_uri()}/{run_of(good(), seed=1, test=True)}")
    settled(browser)
    text = browser.execute_script("return document.body.innerText")
    for told in ("bits_per_char", "Gradient flow", "Examples", "Configuration", "lower is better",
                 "rnnbench run", "hidden", "AMD EPYC", "trivial baseline"):  # fmt: skip
        assert told in text, told
    assert browser.execute_script("return document.title").endswith(", seed 1")
    drawn = "return document.querySelectorAll('#figures svg[aria-label]').length"
    assert browser.execute_script(drawn) >= 5


def test_rows_are_filtered_by_words_and_sorted_by_keyboard(browser, sites):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, sites / "good" / "tasks" / "char-lm.html")
    typed = browser.find_element(By.CSS_SELECTOR, ".filter input")
    typed.send_keys("lstm zoneout")
    rows = """return [...document.querySelector('table.results').tBodies[0].rows]
        .filter(r => !r.hidden).map(r => r.cells[1].innerText.split('\\n')[0])"""
    assert browser.execute_script(rows) == ["lstm + zoneout"]
    said = browser.find_element(By.CSS_SELECTOR, ".filter output").text
    assert said.startswith("1 of ")
    typed.send_keys(Keys.BACKSPACE * 12)
    browser.find_elements(By.CSS_SELECTOR, "table.results th button")[1].send_keys(Keys.ENTER)
    names = browser.execute_script(rows)
    assert names == sorted(names, key=str.lower)
    tail = "return document.querySelector('table.results').lastElementChild.className"
    assert browser.execute_script(tail) == "reference"


def test_the_first_thing_that_is_reached_by_keyboard_skips_to_the_content(browser, sites):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, sites / "good" / "index.html")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = "return [document.activeElement.className, document.activeElement.offsetHeight]"
    name, height = browser.execute_script(focused)
    assert name == "skip"
    assert height > 10
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"


CONTRAST = """
const light = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return light(c);
  }
};
return [...document.querySelectorAll('main *, header *, footer *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  .filter(e => e.checkVisibility() && !e.closest('.unseen, script, noscript'))
  .map(e => {
    const style = getComputedStyle(e), paper = behind(e.closest('svg') ?? e);
    const ink = light(e instanceof SVGElement ? style.fill : style.color);
    return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), e.outerHTML];
  }).sort((a, b) => a[0] - b[0])[0]"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(browser, sites, scheme):
    for address in pages_of(sites, "good"):
        show(browser, address, scheme=scheme)
        settled(browser)
        browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
        least, where = browser.execute_script(CONTRAST)
        assert least >= 4.5, (address, where)  # WCAG 2.2, level AA


def test_a_printed_page_has_everything_and_no_controls(browser, sites):
    show(browser, sites / "good" / "tasks" / "char-lm.html", width=700)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    seen = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
    assert browser.execute_script(seen, ".filter, .place, .skip") == []
    assert browser.execute_script(seen, "table.results")
    wide = """return [...document.querySelectorAll('svg.chart')].filter(e => e.checkVisibility())
        .every(e => e.getBoundingClientRect().right <= window.innerWidth)"""
    assert browser.execute_script(wide)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def picture(browser):
    """What the window shows, as (height, width, 3) shares of red, green and blue."""
    import io

    from matplotlib.image import imread

    return imread(io.BytesIO(browser.get_screenshot_as_png()), format="png")[:, :, :3]


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_a_picture_of_each_page_has_ink_on_paper_and_clean_margins(browser, sites, width, scheme):
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    for address in pages_of(sites, "good"):
        show(browser, address, width, scheme)
        settled(browser)
        seen = picture(browser)
        paper = seen[2, 2]
        ink = abs(seen - paper).max(-1) > 0.2
        assert (paper.mean() > 0.9) == (scheme == "light"), address
        assert 0.003 < ink.mean() < 0.3, (address, ink.mean())
        assert not ink[:, :10].any(), address
        assert not ink[:, -8:].any(), address


# ------------------------------------------------------------------------------------- live


@pytest.fixture
def served(tmp_path):
    store = Store(tmp_path)
    for seed in range(2):
        for name in ("lstm", "gru", "elman", "mgu"):
            store.write(make_record(make_spec("char-lm", name, seed=seed), 1.5 + seed / 50))
    with serving(tmp_path) as server:
        yield server, store
    store.close()
    assert server.problems == []


def test_a_served_page_follows_the_results_and_keeps_what_the_reader_did(browser, served):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    server, store = served
    assert show(browser, f"{server.url}tasks/char-lm.html", width=500) == []
    browser.find_elements(By.CSS_SELECTOR, "table.results th button")[1].click()
    browser.find_element(By.CSS_SELECTOR, ".filter input").send_keys("m")
    browser.execute_script("document.querySelector('details.reading').open = true")
    browser.execute_script("window.scrollTo(0, 333); window.same = 1")
    record = make_record(make_spec("char-lm", "mist"), 1.2)
    store.write(dataclasses.replace(record, sweep=None))
    # Read in one go: the page may be replaced between finding an element and reading it.
    table = "return document.querySelector('table.results').innerText"
    WebDriverWait(browser, 60).until(lambda b: "mist" in b.execute_script(table))
    state = """return [window.same, window.scrollY, document.querySelector('.filter input').value,
        document.querySelector('th[aria-sort]').innerText.trim(),
        document.querySelector('details.reading').open]"""
    same, y, typed, sorted_by, is_open = browser.execute_script(state)
    assert (same, typed, is_open) == (1, "m", True)
    assert abs(y - 333) < 3
    assert sorted_by.startswith("Architecture")
    shown = """return [...document.querySelector('table.results').tBodies[0].rows]
        .filter(r => !r.hidden).map(r => r.cells[1].innerText.split('\\n')[0])"""
    rows = browser.execute_script(shown)
    assert {"mist", "mgu"} <= set(rows)
    assert "gru" not in rows
    assert rows == sorted(rows)
    assert browser.get_log("browser") == []


def test_a_served_run_is_the_same_page_as_on_a_disk(browser, served):
    server, store = served
    record = next(iter(store.records()))
    assert show(browser, f"{server.url}{names.run_link('char-lm', record.run_id)}") == []
    assert settled(browser) == []
    assert "rnnbench run char-lm" in browser.execute_script("return document.body.innerText")
