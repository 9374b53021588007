"""The page at `/` in a headless Chromium: send, stream, stop, switch policy; narrow and dark too. CHROMEDRIVER and a browser are Debian's."""
import os
import re

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

from test_openai import KEY, url  # noqa: F401  (the server)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for flag in ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--hide-scrollbars"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, url):  # noqa: F811
    browser.set_window_size(1280, 900)
    browser.get(url.removesuffix("/v1") + "/")
    key = browser.find_element(By.ID, "key")
    WebDriverWait(browser, 30).until(lambda _: key.is_displayed() or key.get_attribute("value"))
    browser.execute_script("arguments[0].value = arguments[1]; arguments[0].onchange()", key, KEY)
    WebDriverWait(browser, 30).until(lambda b: b.find_element(By.ID, "model").text == "reasoner-s")
    return browser


def ask(page, question):
    box = page.find_element(By.ID, "question")
    box.send_keys(question, Keys.ENTER)


def answered(page, count=1):
    ready = lambda b: b.find_element(By.ID, "send").is_enabled() and len(b.find_elements(By.CSS_SELECTOR, ".turn .note")) == count
    WebDriverWait(page, 120).until(ready)
    return page.find_elements(By.CSS_SELECTOR, "#talk .turn")[-1]


def test_an_answer_streams_with_its_thinking_apart(page):
    ask(page, "Sort 41 7 93 20.")
    turn = answered(page)
    said, note = turn.find_elements(By.CSS_SELECTOR, ".text")[1].text, turn.find_element(By.CSS_SELECTOR, ".note").text
    assert "7 20 41 93" in said and "stop" in note and "tokens" in note, (said, note)
    summary = turn.find_element(By.TAG_NAME, "summary")
    summary.click()
    assert len(turn.find_element(By.CSS_SELECTOR, "details .text").text) > 20
    slots = [int(s.text.replace(",", "")) for s in page.find_elements(By.CSS_SELECTOR, "#mine .n")]
    assert len(slots) == 6 and min(slots) > 20, slots


@pytest.mark.parametrize("policy", ["recency", "lethe+"])  # the second cuts each lane on its own
def test_a_policy_that_forgets_shades_the_text_and_shows_its_rounds(page, policy):
    Select(page.find_element(By.ID, "policy")).select_by_visible_text(policy)
    budget = page.find_element(By.ID, "budget")
    budget.clear()
    budget.send_keys("32")
    tokens = page.find_element(By.ID, "tokens")
    tokens.send_keys("200")
    ask(page, "Sort 41 7 93 20 55 3 18 62 77 9.")
    note = answered(page).find_element(By.CSS_SELECTOR, ".note").text
    assert policy in note and re.search(r"[\d,]+ forgotten in \d+ rounds", note), note
    alive = page.execute_script("return [...document.querySelectorAll('.shade span')].map(s => s.style.getPropertyValue('--alive')).filter(Boolean).map(Number)")
    assert alive and all(0 <= a < 1 for a in alive) and 0 in alive, "text that all layers forgot"
    rounds = page.find_elements(By.CSS_SELECTOR, "#rounds li")
    assert rounds and re.match(r"layer \d: \d+ → \d+ slots", rounds[0].text), rounds[0].text
    page.find_element(By.ID, "shade").click()
    assert not page.find_elements(By.CSS_SELECTOR, "#talk .shade")


def test_an_answer_can_be_stopped_and_the_next_one_comes(page):
    Select(page.find_element(By.ID, "policy")).select_by_visible_text("full")
    page.execute_script("document.getElementById('temperature').value = 1.9")
    ask(page, "Sort 41 7 93 20 55 3 18 62 77 9 84 31 26 15 99 48.")
    WebDriverWait(page, 60).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#talk .text span"))
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert answered(page).find_element(By.CSS_SELECTOR, ".note").text
    page.find_element(By.ID, "clear").click()
    assert not page.find_elements(By.CSS_SELECTOR, "#talk .turn")
    page.execute_script("document.getElementById('temperature').value = 0")
    ask(page, "Sort 5 3 9.")
    assert "3 5 9" in answered(page).text


def test_errors_are_said_in_the_servers_words(page):
    page.execute_script("document.getElementById('key').value = 'sk-wrong'")
    ask(page, "Sort 5 3 9.")
    WebDriverWait(page, 30).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".note.bad"))
    assert "key" in page.find_element(By.CSS_SELECTOR, ".note.bad").text


def test_narrow_and_dark(page):
    page.set_window_size(500, 900)
    wide = page.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "nothing sticks out"
    colour = lambda: page.execute_script("return getComputedStyle(document.body).backgroundColor")
    theme = page.find_element(By.ID, "theme")
    seen = set()
    for _ in range(3):
        theme.click()
        seen.add(colour())
    assert len(seen) == 2, "light, dark, and one of them as the system has it"
    broken = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE" and "401" not in entry["message"] and "400" not in entry["message"]]
    assert not broken, broken


def test_a_picture_for_the_readme(page):
    target = os.environ.get("SCREENSHOT")
    Select(page.find_element(By.ID, "policy")).select_by_visible_text("lethe")
    page.execute_script("document.getElementById('budget').value = 64; document.getElementById('tokens').value = ''")
    ask(page, "Sort 41 7 93 20 55 3 18 62.")
    turn = answered(page)
    page.execute_script("document.querySelector('#talk details').open = true; document.querySelector('#talk').scrollTop = 0")
    assert turn.find_element(By.CSS_SELECTOR, ".note").text
    if target:
        page.save_screenshot(target)
