"""The language of the page: that of the browser, if there is a file for it, and all of the page."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from monitor.history.store import HistoryStore
from monitor.web import texts
from monitor.web.context import Context
from monitor.web.texts import Languages, Sentence, Texts
from monitor.web.users import Role
from tests.browser import DESKTOP, Viewer
from tests.histories import alert
from tests.test_web_texts import keys
from tests.web_app import ALERT_ID, PASSWORD, machine, served

ENGLISH = texts.FOLDER / "en.json"


def translated(node: Any) -> Any:
    """A language in which every text is in brackets."""
    if isinstance(node, str):
        return f"\u27e6{node}\u27e7"
    return {key: translated(value) for key, value in node.items()}


@pytest.fixture
def languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Languages:
    """English, German that is complete, and Brazilian Portuguese with one text."""
    folder = tmp_path / "texts"
    shutil.copytree(texts.FOLDER, folder)
    (folder / "de.json").write_text(json.dumps(translated(Texts().document)))
    (folder / "pt-BR.json").write_text(json.dumps({"nav": {"alerts": "Alertas"}}))
    monkeypatch.setattr(texts, "FOLDER", folder)
    return Languages()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT, en;q=0.9", "de"),
        ("en;q=0.5, de;q=0.8", "de"),
        ("fr, de;q=0.2", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("PT-br", "pt-BR"),
        ("pt", "en"),
        ("*, de;q=0.5", "en"),
        ("de;q=high, en", "en"),
        ("../de, de/../../x, ;;, =", "en"),
        (",".join(["x"] * 5000), "en"),
    ],
)
def test_the_language_is_the_best_of_those_that_have_a_file(
    languages: Languages, header: str, expected: str
) -> None:
    """A translation would never be shown, or a header would end the request."""
    assert languages.accepted(header).language == expected


def test_what_a_translation_lacks_is_in_english(languages: Languages) -> None:
    """A new text would end every page in a language whose file is older."""
    found = languages.accepted("pt-br")
    assert (found.text("nav.alerts"), found.text("nav.health")) == ("Alertas", "Health")
    assert found.of(Sentence("refusal.log_in")) == "Log in first."


def test_every_translation_has_the_keys_and_values_of_the_english_file() -> None:
    """A page would end with an error, or show a name in braces."""
    english = Texts().document
    for path in texts.FOLDER.glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert sorted(keys(document)) == sorted(keys(english)), path
        for key in keys(english):
            assert names(document, key) == names(english, key), f"{path}: {key}"


def names(document: Any, key: str) -> set[str]:
    """The values that a text needs."""
    for part in key.split("."):
        document = document[part]
    return set(re.findall(r"\{\w+\}", json.dumps(document)))


@pytest.mark.usefixtures("languages")
def test_refusals_are_in_the_language_of_the_browser(tmp_path: Path) -> None:
    """A reader of German would get the page in German and its errors in English."""
    german = {"Accept-Language": "de-DE, de;q=0.9, en;q=0.5"}
    with served(tmp_path, users={"anna": Role.VIEWER}) as app:
        answer = app.get("/api/overview", headers=german)
        assert answer.json()["error"]["message"] == "\u27e6Log in first.\u27e7"
        assert answer.headers["Vary"] == "Accept-Language"
        assert app.get("/api/overview").json()["error"]["message"] == "Log in first."
        with app.logged_in() as client:
            lost = client.get("/api/machine/gone", headers=german)
            assert lost.json()["error"]["message"] == '\u27e6No machine "gone" is known.\u27e7'
            page = client.get("/machine/gone", headers=german | {"Accept": "text/html"})
            assert (page.status_code, page.headers["Vary"]) == (404, "Accept-Language")
            assert '<html lang="de">' in page.text


SHOWN = """() => {
  const found = [document.title];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode())
    if (!["SCRIPT", "STYLE"].includes(walk.currentNode.parentElement.tagName))
      found.push(walk.currentNode.textContent);
  for (const element of document.querySelectorAll("*"))
    for (const name of ["aria-label", "title", "alt", "placeholder"])
      if (element.hasAttribute(name)) found.push(element.getAttribute(name));
  return found.map((text) => text.trim()).filter((text) => text);
}"""


def english_texts() -> list[re.Pattern[str]]:
    """What a text of the English file looks like on a page, with any values."""
    found = []

    def add(node: Any) -> None:
        if isinstance(node, str):
            for line in node.split("\n"):
                fixed = re.sub(r"\{\w+\}", "", line)
                if len(re.findall("[A-Za-z]", fixed)) >= 3 and line != "Auscult":
                    parts = map(re.escape, re.split(r"\{\w+\}", line))
                    found.append(re.compile("[^\u27e6]*".join(parts)))
        else:
            for one in node.values():
                add(one)

    add(json.loads((ENGLISH).read_text(encoding="utf-8")))
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
@pytest.mark.usefixtures("languages")
def test_no_english_text_is_left_on_the_pages_of_another_language(
    browser: Browser, tmp_path: Path
) -> None:
    """A translation would be one more file, and a page half in English."""
    patterns = english_texts()

    def left(page: Page) -> list[str]:
        shown = page.evaluate(SHOWN)
        assert any("\u27e6" in text for text in shown)
        return [text for text in shown if any(one.fullmatch(text) for one in patterns)]

    with served(tmp_path, users={"anna": Role.OPERATOR}, prepare=with_an_alert) as app:
        for number in range(2):
            app.daemon.machines.append(machine(f"fan-{number}", state="no_signal"))
        viewer = Viewer(browser, app.url, DESKTOP, locale="de-DE")
        page = viewer.open("")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        assert left(page) == []
        page.locator("input[name=user]").fill("anna")
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("button[type=submit]").click()
        expect(page.locator(".banner")).to_contain_text("\u27e62 machines without usable sound")
        assert left(page) == []
        for path, element in (
            ("machine/pump-7", "#events li"),
            ("alerts", ".alert-row"),
            (f"alert/{ALERT_ID}", "#status"),
            ("health", "#processes dt"),
            ("machine/gone", "h1"),
        ):
            viewer.open(path)
            expect(page.locator(element).first).to_be_visible()
            assert left(page) == [], path
        viewer.open("machine/pump-7")
        page.locator("#actions button").first.click()
        expect(page.locator("dialog")).to_be_visible()
        assert left(page) == []
        viewer.close()


def with_an_alert(context: Context) -> None:
    """The history has an alert of pump-7."""
    store = HistoryStore(context.state_dir / "history.sqlite3")
    at_s = time.time() - 600.0
    store.write({}, [alert("raised", at_s, ALERT_ID, machine="pump-7")], durable=True)
    store.close()
