"""The page in a real browser. Skipped only where Chromium or its driver is missing."""

import pytest
from report.hostile_boards import HOSTILE, NO_GATE, ablation, hostile_boards
from support.browsing import browser, show
from support.fake_records import REFUSED, fake_records

from rnnbench.leaderboard.boards import build
from rnnbench.report.page.page import write_page

__all__ = ["browser"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    write_page(build(fake_records()), folder / "good.html", "Results", refused=REFUSED)
    refused = [dict.fromkeys(("task", "architecture", "tricks", "reason"), HOSTILE)]
    write_page(hostile_boards(), folder / "hostile.html", HOSTILE, refused=refused)
    write_page(ablation(), folder / "ablation.html", "Ablation", refused=[NO_GATE])
    return folder


def column(browser, place):
    script = """return [...document.querySelectorAll('table.results')[1].tBodies[0].rows]
        .map(row => row.cells[arguments[0]].firstChild?.textContent.trim() ?? '')"""
    return browser.execute_script(script, place)


@pytest.mark.parametrize("name", ["good.html", "hostile.html", "ablation.html"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_opens_without_errors_and_fits_its_window(browser, pages, name, width):
    assert show(browser, pages / name, width) == []
    script = "return [document.documentElement.scrollWidth, window.innerWidth]"
    found, window = browser.execute_script(script)
    assert window == width
    assert found <= width


def test_pressing_a_heading_sorts_by_it_both_ways_and_says_so(browser, pages):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    assert show(browser, pages / "good.html") == []
    before = column(browser, 1)
    assert before[:2] == ["mgu", "lstm + zoneout"]
    table = browser.find_elements(By.CSS_SELECTOR, "table.results")[1]
    heading = table.find_elements(By.CSS_SELECTOR, "thead th")[2]
    heading.find_element(By.TAG_NAME, "button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    ascending = [float(v.split(" ")[0]) for v in column(browser, 2)]
    assert ascending == sorted(ascending)
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)  # by keyboard
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(v.split(" ")[0]) for v in column(browser, 2)] == sorted(ascending)[::-1]
    told = browser.find_element(By.ID, "announce").get_attribute("textContent")
    assert told == "Sorted by bits_per_char, descending"
    assert browser.get_log("browser") == []


def test_rows_without_a_value_stay_at_the_end(browser, pages):
    from selenium.webdriver.common.by import By

    show(browser, pages / "good.html")
    table = browser.find_elements(By.CSS_SELECTOR, "table.results")[1]
    button = table.find_elements(By.CSS_SELECTOR, "thead th button")[0]
    for _ in range(2):
        button.click()
        assert column(browser, 0)[-2:] == ["", ""]  # the baselines have no rank


def test_hostile_names_are_inert(browser, pages):
    assert show(browser, pages / "hostile.html") == []
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.images.length") == 0
    assert browser.execute_script("return document.title") == HOSTILE


def test_even_an_injected_script_would_not_run(browser, pages):
    page = (pages / "good.html").read_text()
    injected = pages / "injected.html"
    injected.write_text(page.replace("<main", "<script>window.hacked=1</script><main", 1))
    log = show(browser, injected)
    assert browser.execute_script("return window.hacked === undefined")
    assert any("Content Security Policy" in entry["message"] for entry in log)


def test_the_page_follows_the_readers_colour_scheme(browser, pages):
    script = "return getComputedStyle(document.body).backgroundColor"
    show(browser, pages / "good.html", scheme="light")
    light = browser.execute_script(script)
    show(browser, pages / "good.html", scheme="dark")
    dark = browser.execute_script(script)
    brightness = [sum(map(int, c[4:-1].split(","))) for c in (light, dark)]
    assert brightness[0] > 700
    assert brightness[1] < 100


def test_text_stands_out_from_the_paper_in_both_schemes(browser, pages):
    script = """
    const rgb = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number);
    const light = c => rgb(c).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const paper = light(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll('p, dt, dd, td, th, li, a, summary, figcaption, .mark')]
      .filter(e => e.textContent.trim() && !e.classList.contains('skip'))
      .map(e => light(getComputedStyle(e).color))
      .reduce((least, v) => Math.min(least,
        (Math.max(v, paper) + 0.05) / (Math.min(v, paper) + 0.05)), 99);"""
    for scheme in ("light", "dark"):
        show(browser, pages / "good.html", scheme=scheme)
        assert browser.execute_script(script) >= 4.5  # WCAG 2.2, level AA


def test_the_heat_map_is_readable_on_its_colours_in_both_schemes(browser, pages):
    script = """
    const light = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const style = getComputedStyle;
    return ['plus', 'minus'].flatMap(sign => [0, 1, 2, 3, 4].map(n => {
      const cell = document.querySelector('td.heat');
      cell.className = `number heat ${sign}-${n}`;
      const paper = light(style(cell).backgroundColor);
      const texts = [cell, ...cell.querySelectorAll('span')].map(e => light(style(e).color));
      const contrast = Math.min(...texts.map(v =>
        (Math.max(v, paper) + 0.05) / (Math.min(v, paper) + 0.05)));
      return [style(cell).backgroundColor, contrast];
    }));"""
    for scheme in ("light", "dark"):
        show(browser, pages / "ablation.html", scheme=scheme)
        shades = browser.execute_script(script)
        assert min(contrast for _, contrast in shades) >= 4.5  # WCAG 2.2, level AA
        assert len({colour for colour, _ in shades}) == 10


def test_the_heat_map_can_be_sorted_and_scrolled_by_keyboard(browser, pages):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    assert show(browser, pages / "ablation.html", width=390) == []
    table = browser.find_element(By.CSS_SELECTOR, "table.heatmap")
    names = "return [...arguments[0].tBodies[0].rows].map(r => r.cells[0].textContent.trim())"
    button = table.find_elements(By.CSS_SELECTOR, "thead button")[2]
    button.send_keys(Keys.ENTER)
    assert browser.execute_script(names, table)[0] == "weight-drop"
    button.send_keys(Keys.ENTER)
    assert browser.execute_script(names, table)[0] == "chrono-init"
    region = table.find_element(By.XPATH, "..")
    script = "arguments[0].scrollLeft = 0; arguments[0].focus(); return arguments[0].scrollWidth"
    assert browser.execute_script(script, region) > 390
    region.send_keys(Keys.ARROW_RIGHT * 5)
    browser.execute_async_script("setTimeout(arguments[0], 300)")
    assert browser.execute_script("return arguments[0].scrollLeft", region) > 0
    assert browser.get_log("browser") == []
