"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const narrow = matchMedia("(max-width: 45rem)");
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const short = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);
  const shapes = { artifact: "round-rectangle", run: "ellipse", source: "hexagon", missing: "rectangle" };

  const style = () => [
    { selector: "node", style: {
      label: "data(label)", width: "data(width)", height: 36, "font-size": 13, "text-valign": "center",
      "text-halign": "center", color: colour("text"), "border-width": 1.5 } },
    ...Object.entries(shapes).map(([kind, shape]) => ({ selector: `node[kind = "${kind}"]`, style: {
      shape, "background-color": colour(kind), "border-color": colour(`${kind}-line`) } })),
    { selector: 'node[kind = "missing"]', style: { "border-style": "dashed", "border-width": 2 } },
    { selector: "node[?start]", style: { "border-width": 4, "border-color": colour("accent") } },
    { selector: "edge", style: {
      width: 1.5, "line-color": colour("soft"), "target-arrow-color": colour("soft"), "target-arrow-shape": "triangle",
      "curve-style": "bezier", label: "data(role)", "font-size": 10, color: colour("soft"),
      "text-background-color": colour("back"), "text-background-opacity": 0.9, "text-background-padding": 2 } },
    { selector: "edge[span > 1]", style: { "curve-style": "unbundled-bezier",
      "control-point-distances": (edge) => -30 - 25 * edge.data("span"), "control-point-weights": 0.5 } },
    { selector: ".away", style: { opacity: 0.15 } },
    { selector: "node.hit", style: { opacity: 1, "underlay-color": colour("accent"), "underlay-opacity": 0.35,
      "underlay-padding": 6 } },
    { selector: "node:selected", style: { "border-width": 4, "border-color": colour("accent") } },
  ];

  const cy = cytoscape({
    container: document.getElementById("graph"),
    elements: {
      nodes: data.nodes.map((node) => ({
        data: { id: node.id, label: short(node.label), kind: node.kind, width: node.width,
          start: node.id === data.start },
        position: { x: node.x, y: node.y } })),
      edges: data.links.map((link, number) => ({
        data: { id: `link ${number}`, source: link.source, target: link.target, role: link.role || "", span: link.span } })),
    },
    style: [], layout: { name: "preset" }, minZoom: 0.02, maxZoom: 4,
    textureOnViewport: data.nodes.length > 800, hideEdgesOnViewport: data.nodes.length > 2000,
  });
  window.cy = cy;

  const paint = (isDark) => {
    root.classList.toggle("dark", isDark);
    cy.style().fromJson(style()).update();
  };
  paint(dark.matches);
  dark.addEventListener("change", (event) => paint(event.matches));
  document.getElementById("theme").addEventListener("click", () => paint(!root.classList.contains("dark")));

  const byId = new Map(data.nodes.map((node) => [node.id, node]));
  const aside = document.querySelector("aside");
  const details = document.getElementById("details");
  const list = document.getElementById("nodes");
  const search = document.getElementById("search");
  const hits = document.getElementById("hits");
  const buttons = new Map();
  let selected = null;

  const add = (parent, tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const entry = (parent, node) => {
    const button = add(add(parent, "li", ""), "button", "");
    button.type = "button";
    add(button, "span", "").className = `kind ${node.kind}`;
    add(button, "span", node.label);
    if (node.kind !== "artifact") button.setAttribute("aria-label", `${node.kind}: ${node.label}`);
    button.addEventListener("click", () => select(node.id, true));
    return button;
  };
  const neighbours = (title, ids) => {
    if (!ids.size) return;
    add(details, "h3", title);
    const found = add(details, "ul", "");
    for (const id of [...ids].slice(0, 100)) entry(found, byId.get(id));
  };
  const show = (id) => {
    const node = byId.get(id);
    details.replaceChildren();
    add(details, "h2", node.label);
    neighbours("comes from", new Set(data.links.filter((link) => link.target === id).map((link) => link.source)));
    neighbours("leads to", new Set(data.links.filter((link) => link.source === id).map((link) => link.target)));
    const facts = add(details, "dl", "");
    for (const [name, value] of [["kind", node.kind], ["id", node.id], ...Object.entries(node.facts)]) {
      if (value === null || value === "" || (typeof value === "object" && !Object.keys(value).length)) continue;
      add(facts, "dt", name);
      const text = typeof value === "string" ? value : JSON.stringify(value, null, 1);
      add(facts, "dd", text.length > 20000 ? `${text.slice(0, 20000)}…` : text);
    }
  };

  // What stands out: all that leads to and from the selected node, and whatever the search finds, selected or not.
  const emphasise = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = data.nodes.filter((node) => wanted && `${node.label} ${node.id}`.toLowerCase().includes(wanted));
    const ids = new Set(found.map((node) => node.id));
    aside.classList.toggle("searching", Boolean(wanted));
    for (const [id, button] of buttons) {
      button.parentElement.hidden = Boolean(wanted) && !ids.has(id);
      button.toggleAttribute("aria-current", id === selected);
    }
    hits.textContent = wanted ? (found.length ? `${found.length} of ${data.nodes.length}` : "Nothing has this in its name") : "";
    cy.batch(() => {
      cy.elements().removeClass("away hit");
      if (selected === null && !wanted) return;
      cy.elements().addClass("away");
      if (selected !== null) {
        const near = cy.getElementById(selected);
        near.union(near.predecessors()).union(near.successors()).removeClass("away");
      }
      cy.nodes().filter((node) => ids.has(node.id())).removeClass("away").addClass("hit");
    });
  };
  const select = (id, move) => {
    selected = id;
    cy.elements().unselect();
    const node = cy.getElementById(id);
    node.select();
    show(id);
    emphasise();
    aside.scrollTop = 0;
    if (move) {
      const view = { center: { eles: node }, zoom: Math.max(cy.zoom(), 0.8) };
      cy.animate(view, { duration: still.matches ? 0 : 250 });
    }
  };
  const forget = () => {
    selected = null;
    cy.elements().unselect();
    details.replaceChildren();
    emphasise();
  };
  const all = () => {
    search.value = "";
    forget();
    cy.stop().fit(undefined, 40);
  };
  cy.on("tap", "node", (event) => select(event.target.id(), false));
  cy.on("tap", (event) => { if (event.target === cy) forget(); });
  document.getElementById("fit").addEventListener("click", all);

  for (const node of data.nodes) buttons.set(node.id, entry(list, node));
  search.addEventListener("input", () => { emphasise(); aside.scrollTop = 0; });
  const shown = () => [...list.querySelectorAll("li:not([hidden]) button")];
  search.addEventListener("keydown", (event) => {
    const [first] = shown();
    if (!first) return;
    if (event.key === "Enter") first.click();
    if (event.key === "ArrowDown") { event.preventDefault(); first.focus(); }
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const among = shown();
    const place = among.indexOf(document.activeElement.closest("button")) + step;
    if (place < 0) search.focus(); else if (place < among.length) among[place].focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") all();
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });

  all();
  // On a small screen a wide graph would be too small to read: it begins with the version that was asked about.
  if (narrow.matches && cy.zoom() < 0.5) cy.zoom(0.7).center(cy.getElementById(data.start));
})();
