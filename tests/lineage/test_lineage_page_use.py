"""The page of a lineage in use: search, selection, keys, a small screen, kinds told by more than colour."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files

import pytest
from browser import CHROMIUM, elements_of, opened_in_chromium

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture
def page(client, folder, store_folder):
    """A page with nodes of every kind: a place outside, artifacts, runs, and an artifact that cannot be read."""
    (folder / "lake").mkdir()
    (folder / "lake" / "a.csv").write_bytes(b"a\n1\n")
    lake = client.register_pointer("lake/rides", folder / "lake")
    gone = client.register_artifact("rides/gone", b"g")
    with client.run("clean"):
        lake.read_bytes("a.csv")
        cleaned = client.register_artifact("rides/cleaned", b"c", inputs=[gone])
    with client.run("train"):
        cleaned.read_bytes()
        client.register_artifact("rides/model-with-a-name-that-is-long", b"m")
    client.register_artifact("rides/report", b"r", inputs=[cleaned])
    (manifest,) = (store_folder / "artifacts/rides/gone/_versions").iterdir()
    manifest.chmod(0o600)
    manifest.unlink()
    return client.lineage("rides/cleaned").to_html()


PRELUDE = """
const press = (element, key) => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const search = document.getElementById("search");
const type = (text) => { search.value = text; search.dispatchEvent(new Event("input")); };
const entries = () => [...document.querySelectorAll("#nodes li")];
const labelled = (text) => entries().find((item) => item.textContent === text).querySelector("button");
const top = (id) => document.getElementById(id).getBoundingClientRect().top;
const state = () => ({
  listed: entries().filter((item) => !item.hidden).map((item) => item.textContent),
  away: cy.nodes(".away").map((node) => node.id()), hit: cy.nodes(".hit").map((node) => node.id()),
  selected: cy.nodes(":selected").map((node) => node.id()), details: document.getElementById("details").textContent,
  search: search.value, told: document.getElementById("hits").textContent, focus: document.activeElement.textContent,
  current: [...document.querySelectorAll("#nodes [aria-current]")].map((button) => button.textContent),
});
const steps = [];
const note = (more) => steps.push({ ...state(), ...more });
"""


def played(page: str, script: str, tmp_path) -> list[dict]:
    """Open a page, run a script in it, and return what it noted."""
    ending = "const told = document.createElement('pre'); told.id = 'told'; told.textContent = JSON.stringify(steps);"
    scripted = f"<script>{{{PRELUDE}{script}\n{ending}document.body.append(told);}}</script></body>"
    (tmp_path / "page.html").write_text(page.replace("</body>", scripted), "utf-8")
    elements, console = opened_in_chromium(tmp_path / "page.html")
    assert console == []
    (told,) = [element.text for element in elements if element.attributes.get("id") == "told"]
    return json.loads(told)


@pytest.mark.full
@needs_chromium
def test_a_search_shows_its_hits_while_a_node_is_selected(page, tmp_path):
    selected, searched, nothing, cleared = played(
        page,
        """labelled("rides/report@1").click(); note();
        type("RIDES/mod"); note({ hitsFirst: top("nodes") < top("details") });
        type("nobody"); note(); type(""); note();""",
        tmp_path,
    )
    model = "rides/model-with-a-name-that-is-long@1"
    assert model in selected["away"], "it has nothing to do with what is selected"
    assert searched["listed"] == [model]
    assert searched["hit"] == [model]
    assert model not in searched["away"]
    assert searched["selected"] == ["rides/report@1"]
    assert "rides/report@1" in searched["details"]
    assert searched["hitsFirst"], "the hits stand above what is known of the selected node"
    assert searched["told"] == "1 of 8"
    assert (nothing["listed"], nothing["told"]) == ([], "Nothing has this in its name")
    assert (cleared["hit"], cleared["told"], len(cleared["listed"])) == ([], "", 8)
    assert cleared["away"] == selected["away"]


@pytest.mark.full
@needs_chromium
@pytest.mark.parametrize("way", ['document.getElementById("fit").click();', 'press(search, "Escape");'])
def test_show_all_clears_the_search_and_the_selection(page, tmp_path, way):
    before, after = played(
        page, f'labelled("rides/report@1").click(); type("model"); cy.zoom(3); note(); {way} note();', tmp_path
    )
    assert before["selected"]
    assert before["hit"]
    assert len(after["listed"]) == 8
    cleared = {name: after[name] for name in ("away", "hit", "selected", "details", "search", "told", "current")}
    assert cleared == {
        "away": [], "hit": [], "selected": [], "details": "", "search": "", "told": "", "current": []
    }  # fmt: skip


@pytest.mark.full
@needs_chromium
def test_the_page_is_used_with_keys_alone(page, tmp_path):
    focused, down, chosen = played(
        page,
        """press(document.body, "/"); note({ searching: document.activeElement === search });
        type("rides/"); press(search, "ArrowDown"); press(document.activeElement, "ArrowDown"); note();
        document.activeElement.click(); note();""",
        tmp_path,
    )
    assert focused["searching"]
    assert down["focus"] == down["listed"][1]
    assert chosen["current"] == [down["focus"]]
    assert down["focus"] in chosen["details"]


@pytest.mark.full
@needs_chromium
def test_what_stands_beside_a_node_is_a_click_away(page, tmp_path):
    (report,) = played(
        page,
        """labelled("rides/report@1").click();
        document.querySelector("#details button").click(); note();""",
        tmp_path,
    )
    assert report["selected"] == ["rides/cleaned@1"]
    assert "comes fromclean" in report["details"]
    assert "leads to" in report["details"]


@pytest.mark.full
@needs_chromium
def test_kinds_are_told_apart_by_their_shapes_and_lines(page, tmp_path):
    (noted,) = played(
        page,
        """const looks = {};
        for (const node of cy.nodes()) {
          (looks[node.data("kind")] ||= new Set()).add(`${node.style("shape")} ${node.style("border-style")}`);
        }
        const icons = [...document.querySelectorAll("#legend .kind")].map((icon) => {
          const style = getComputedStyle(icon);
          return `${style.borderRadius} ${style.clipPath} ${style.borderStyle} ${style.borderWidth}`;
        });
        note({ looks: Object.entries(looks).map(([kind, found]) => [kind, [...found]]), icons });""",
        tmp_path,
    )
    looks = dict(noted["looks"])
    assert set(looks) == {"artifact", "run", "source", "missing"}
    assert all(len(found) == 1 for found in looks.values())
    assert len({found[0] for found in looks.values()}) == 4
    assert len(set(noted["icons"])) == len(noted["icons"]) == 5, "the signs of the legend differ without their colours"


def test_the_legend_explains_the_kinds_that_are_there(page, client):
    def legend(text: str) -> list[str]:
        return [element.text for element in elements_of(text) if element.tag == "li" and "legend" in element.inside]

    assert legend(page) == [
        "artifact", "run", "place outside of the store", "artifact that cannot be read", "asked about"
    ]  # fmt: skip
    client.register_artifact("alone", b"1")
    assert legend(client.lineage("alone").to_html()) == ["artifact", "asked about"]


@pytest.mark.full
@needs_chromium
@pytest.mark.parametrize(("width", "rows"), [(390, 2), (320, 2), (1200, 1)])
def test_the_header_fits_a_small_screen(page, tmp_path, width, rows):
    measure = """
    const inside = document.querySelector("iframe").contentDocument;
    const boxes = [...inside.querySelector("header").children].map((child) => child.getBoundingClientRect());
    const style = (child) => inside.defaultView.getComputedStyle(child);
    document.querySelector("pre").textContent = JSON.stringify({
      tops: boxes.map((box) => Math.round(box.top + box.height / 2)), right: Math.max(...boxes.map((box) => box.right)),
      narrowest: Math.min(...boxes.map((box) => box.width)), wide: inside.documentElement.scrollWidth,
      graph: inside.getElementById("graph").getBoundingClientRect().height,
      lines: [...inside.querySelectorAll("header button")].map((b) => b.getBoundingClientRect().height) });
    """
    (tmp_path / "frame.html").write_text(
        f'<body><pre></pre><iframe srcdoc="{html.escape(page)}" style="width:{width}px;height:780px;border:0"></iframe>'
        f"<script>addEventListener('load', () => {{{measure}}})</script></body>",
        "utf-8",
    )
    elements, _ = opened_in_chromium(tmp_path / "frame.html")
    (found,) = [json.loads(element.text) for element in elements if element.tag == "pre"]
    assert len({round(top / 8) for top in found["tops"]}) == rows
    assert found["right"] <= width
    assert found["wide"] <= width, "nothing has to be moved sideways"
    assert found["narrowest"] >= 60
    assert max(found["lines"]) < 40, "no button breaks its words"
    assert found["graph"] > 150


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [":root", ":root.dark"])
def test_texts_and_lines_are_seen_on_what_they_stand_on(theme):
    css = (files("metamlflow.lineage") / "assets" / "lineage.css").read_text("utf-8")
    (block,) = re.findall(rf"^{re.escape(theme)} {{(.*?)}}", css, re.MULTILINE | re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    kinds = ["artifact", "run", "source", "missing"]
    for ground in ("back", "panel", *kinds):  # WCAG 2.2: 4.5 for text, 3 for what is not text
        assert contrast(colours["text"], colours[ground]) >= 4.5
    assert min(contrast(colours["soft"], colours[ground]) for ground in ("back", "panel")) >= 4.5
    assert min(contrast(colours[f"{kind}-line"], colours["back"]) for kind in kinds) >= 3
    assert contrast(colours["accent"], colours["back"]) >= 3
