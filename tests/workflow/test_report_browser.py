"""The HTML report as a reader has it: opened in a browser, every category entered, every figure shown."""

import os
import shutil
import time

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
CATEGORIES = {
    "1 Method": 3,
    "2 Grey scales": 2,
    "3 Style transfer": 4,
    "4 Segmentation": 10,
    "5 Encoders and layers": 10,
    "6 Claims and errata": 2,
    "7 Training curves": 3,
    "8 The paper": 3,
}
"""How many results each category of the tiny run has."""
SUBCATEGORIES = {"Figures", "Tables", "Documents", "Augmented slices", "Outputs of the encoders", "Feature layers"}
SUBCATEGORIES |= {"Choose encoder, loss, augmentation", "What drives it"}


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium without a window."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1200"):
        options.add_argument(argument)
    environment = {**os.environ, "SE_OFFLINE": "true"}
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER, env=environment))
    yield driver
    driver.quit()


def _menu(browser, text):
    """Click the entry of the menu that begins with `text`."""
    entry = WebDriverWait(browser, 20).until(
        lambda page: [a for a in page.find_elements(By.TAG_NAME, "a") if a.text.startswith(text)]
    )
    browser.execute_script("arguments[0].click()", entry[0])
    time.sleep(0.3)


def _eyes(browser):
    return browser.find_elements(By.CSS_SELECTOR, "a[iconname=eye]")


def _entries(browser):
    """The texts of all links."""
    return [link.text for link in browser.find_elements(By.TAG_NAME, "a") if link.text]


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_opens_and_shows_its_results(browser, report, category):
    browser.get(report.as_uri())
    _menu(browser, category)
    seen = len(_eyes(browser))  # where a category has but one subcategory, its results stand there at once
    for subcategory in [name for name in _entries(browser) if name in SUBCATEGORIES]:
        _menu(browser, subcategory)
        seen += len(_eyes(browser))
        _menu(browser, category)  # back, by the path above the list
    assert seen == CATEGORIES[category]


def test_a_figure_is_shown_at_a_click(browser, report):
    browser.get(report.as_uri())
    _menu(browser, "3 Style transfer")
    _menu(browser, "Figures")
    browser.execute_script("arguments[0].click()", _eyes(browser)[0])
    widest = "return Math.max(...Array.from(document.images, image => image.naturalWidth))"
    assert WebDriverWait(browser, 20).until(lambda page: page.execute_script(widest) > 1000)


def test_losses_are_a_toggle(browser, report):
    browser.get(report.as_uri())
    _menu(browser, "5 Encoders")
    _menu(browser, "Outputs of the encoders")
    assert len(_eyes(browser)) == 1  # two figures in one row, the loss is chosen above it
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "MSE" in text and "contextual loss" in text


def test_encoder_loss_and_augmentation_are_chosen_on_the_viewer(browser, tiny):
    browser.get((tiny[2] / "paper" / "viewer.html").as_uri())
    chosen = {"e": "resnet50", "l": "adain", "a": "oracle"}
    before = _shown(browser)
    for letter, key in chosen.items():
        browser.find_element(By.ID, f"{letter}-{key}").click()
    after = _shown(browser)
    assert len(after) == len(before) and {classes for classes, _ in after} == {"e-resnet50 l-adain", "a-oracle"}
    assert {source for _, source in after}.isdisjoint(source for _, source in before)
    assert browser.execute_script("return Array.from(document.images).every(image => image.naturalWidth > 90)")


def _shown(browser):
    """The choices and the picture of each panel that is shown and could be another one."""
    panels = [one for one in browser.find_elements(By.CLASS_NAME, "choice") if one.is_displayed()]
    pictures = [one.find_element(By.TAG_NAME, "img").get_attribute("src") for one in panels]
    return [(one.get_attribute("class").removeprefix("choice "), picture) for one, picture in zip(panels, pictures)]
