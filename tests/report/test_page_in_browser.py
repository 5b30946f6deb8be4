"""The report in a real browser: it draws, complains of nothing, asks for nothing, and answers."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.report.html import write_report
from tests.report.browser import Browser, find_browser
from tests.report.pages import data_of, planned, write_full_page

pytest.importorskip("jinja2")
PROGRAM = find_browser()
if PROGRAM is None:
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)

CHARTS = ("gaps", "heat-before", "heat-after", "heat-scale", "replicas", "history", "moves")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(PROGRAM, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_full_page(path)
    return path


def middle(browser, selector):
    browser.value(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
    browser.settle()  # a scroll hides the tip
    box = f"document.querySelector('{selector}').getBoundingClientRect()"
    return browser.value(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({box})")


def tip(browser):
    return browser.value("document.getElementById('tip').hidden ? null : tip.textContent")


@pytest.mark.parametrize("look", [{}, {"dark": True}, {"width": 360, "phone": True}], ids=str)
def test_it_draws_without_complaint_and_without_request(browser, page, look):
    browser.open(page, **look)
    for chart in CHARTS:
        marks = browser.value(f"document.querySelectorAll('#{chart} svg *').length")
        assert marks > 3, chart
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.value("window.hacked === undefined")


def test_its_own_policy_stops_what_would_leave_it(browser, page):
    browser.open(page)
    sent = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert browser.value(sent) == "refused"
    assert any("Content Security Policy" in text for text in browser.complaints())


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_screen_and_no_letter_too_small(browser, page, width):
    browser.open(page, width=width, phone=width < 500)
    assert browser.value("document.documentElement.scrollWidth") <= width
    sizes = """[...document.querySelectorAll('svg text')].map(text =>
        parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)"""
    assert min(browser.value(sizes)) >= 9.9


def test_a_table_that_goes_on_says_so_until_its_end_is_reached(browser, page):
    browser.open(page, width=360, phone=True)
    frame = "document.querySelector('#layers').closest('.frame')"
    assert browser.value(f"{frame}.classList.contains('right')")
    assert "scrolls" in browser.value(f"{frame}.querySelector('.more').textContent")
    browser.value(f"{frame}.querySelector('.scroll').scrollTo(99999, 99999)")
    browser.settle()
    assert not browser.value(f"{frame}.classList.contains('right')")
    assert not browser.value(f"{frame}.classList.contains('down')")


def test_a_table_that_fits_says_nothing(browser, page):
    browser.open(page, width=1600)
    hidden = "[...document.querySelectorAll('main > section:first-child .more')].map(p => p.hidden)"
    assert browser.value(hidden) == [True]


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_the_paper(browser, page, dark):
    browser.open(page, dark=dark)
    luminance = """selector => {
        const style = getComputedStyle(document.querySelector(selector));
        const part = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        return [part(style.color), part(style.fill)];
    }"""
    paper = browser.value(f"({luminance.replace('style.color', 'style.backgroundColor')})('body')")
    assert (paper[0] < 0.1) == dark
    for selector, at in (("body", 0), ("section > p", 0), ("#gaps svg text", 1)):
        ink = browser.value(f"({luminance})('{selector}')")[at]
        light, dim = max(ink, paper[0]), min(ink, paper[0])
        assert (light + 0.05) / (dim + 0.05) >= 4.5, selector


def test_hovering_shows_the_numbers_of_that_cell(browser, page):
    browser.open(page)
    browser.move_mouse(*middle(browser, "#heat-after image"))
    shown = tip(browser)
    ratios = data_of(page.read_text())["after"]["ratio"]
    assert shown.startswith("Layer 5, GPU 2\n")
    assert float(shown.split("\n")[1].split()[0]) == pytest.approx(ratios[2][2], rel=1e-5)
    browser.move_mouse(2, 2)
    assert tip(browser) is None


@pytest.mark.parametrize(
    ("chart", "words"),
    [("gaps", "eplb-opt"), ("replicas", "replicas before"), ("history", "proven bound")],
)
def test_a_tap_shows_numbers(browser, page, chart, words):
    browser.open(page, width=390, phone=True)
    browser.send("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y = middle(browser, f"#{chart} svg")
    browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.send("Emulation.setTouchEmulationEnabled", enabled=False)
    assert words in tip(browser)


def test_arrow_keys_walk_along_the_layers(browser, page):
    browser.open(page)
    browser.value("document.querySelector('#moves svg').focus()")
    browser.settle()
    for _ in range(2):
        browser.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    moves = data_of(page.read_text())["moves"]
    assert tip(browser) == f"Layer 4\n{moves[1]} of 16 slots moved"


def test_a_click_on_its_name_hides_a_line(browser, page):
    browser.open(page)
    lines = "document.querySelectorAll('#gaps div > svg > path.series').length"
    before = browser.value(lines)
    browser.value("document.querySelectorAll('#gaps .legend button')[1].click()")
    assert browser.value(lines) == before - 1


def test_print_is_dark_on_white_even_from_a_dark_screen(browser, page):
    browser.open(page, dark=True)
    assert browser.pdf().startswith(b"%PDF")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.send("Emulation.setEmulatedMedia", media="print", features=dark)
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.send("Emulation.setEmulatedMedia", media="", features=[])
    assert paper == "rgb(255, 255, 255)"
    assert browser.complaints() == []


@pytest.mark.parametrize("shape", [(1, 4), (2, 3, 4)])
def test_small_and_empty_models_draw_too(browser, tmp_path, shape):
    result = eplb_opt.plan(eplb_opt.Problem(np.zeros(shape, dtype=int), 4, 2), effort=0)
    write_report(tmp_path / "a.html", result)
    browser.open(tmp_path / "a.html")
    assert browser.complaints() == []
    assert browser.value("document.querySelectorAll('#gaps svg').length") > 0


def test_scenarios_have_ratios_and_no_loads_to_show(browser, tmp_path):
    write_report(tmp_path / "a.html", planned((3, 4, 12))[0])
    browser.open(tmp_path / "a.html")
    browser.move_mouse(*middle(browser, "#heat-after image"))
    assert browser.complaints() == []
    assert "of the mean" in tip(browser)
    assert "load " not in tip(browser)
