"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const short = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

  const style = () => [
    { selector: "node", style: {
      label: "data(label)", shape: "round-rectangle", width: "data(width)", height: 36, "font-size": 13,
      "text-valign": "center", "text-halign": "center", color: colour("text"), "border-width": 1,
      "border-color": colour("line"), "background-color": colour("artifact") } },
    { selector: 'node[kind = "run"]', style: { shape: "ellipse", "background-color": colour("run") } },
    { selector: 'node[kind = "source"]', style: { shape: "barrel", "background-color": colour("source") } },
    { selector: 'node[kind = "missing"]', style: { "border-style": "dashed", "background-color": colour("missing") } },
    { selector: "node[?start]", style: { "border-width": 3, "border-color": colour("accent") } },
    { selector: "edge", style: {
      width: 1.5, "line-color": colour("soft"), "target-arrow-color": colour("soft"), "target-arrow-shape": "triangle",
      "curve-style": "bezier", label: "data(role)", "font-size": 10, color: colour("soft"),
      "text-background-color": colour("back"), "text-background-opacity": 0.9, "text-background-padding": 2 } },
    { selector: "edge[span > 1]", style: { "curve-style": "unbundled-bezier",
      "control-point-distances": (edge) => -30 - 25 * edge.data("span"), "control-point-weights": 0.5 } },
    { selector: ".away", style: { opacity: 0.15 } },
    { selector: "node:selected", style: { "border-width": 3, "border-color": colour("accent") } },
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
  const all = () => cy.fit(undefined, 40);
  document.getElementById("fit").addEventListener("click", all);
  all();

  const byId = new Map(data.nodes.map((node) => [node.id, node]));
  const details = document.getElementById("details");
  const add = (parent, tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const show = (id) => {
    const node = byId.get(id);
    details.replaceChildren();
    add(details, "h2", node.label);
    const facts = add(details, "dl", "");
    for (const [name, value] of [["kind", node.kind], ["id", node.id], ...Object.entries(node.facts)]) {
      if (value === null || value === "" || (typeof value === "object" && !Object.keys(value).length)) continue;
      add(facts, "dt", name);
      const text = typeof value === "string" ? value : JSON.stringify(value, null, 1);
      add(facts, "dd", text.length > 20000 ? `${text.slice(0, 20000)}…` : text);
    }
    const near = cy.getElementById(id);
    cy.elements().addClass("away");
    near.union(near.predecessors()).union(near.successors()).removeClass("away");
  };
  const select = (id, move) => {
    cy.elements().unselect();
    const node = cy.getElementById(id);
    node.select();
    show(id);
    if (move) cy.animate({ center: { eles: node }, zoom: Math.max(cy.zoom(), 0.8) }, { duration: 250 });
  };
  cy.on("tap", "node", (event) => select(event.target.id(), false));
  cy.on("tap", (event) => {
    if (event.target === cy) { cy.elements().removeClass("away").unselect(); details.replaceChildren(); }
  });

  const list = document.getElementById("nodes");
  for (const node of data.nodes) {
    const button = add(add(list, "li", ""), "button", "");
    add(button, "span", "").className = `kind ${node.kind}`;
    add(button, "span", node.label);
    button.dataset.text = `${node.label} ${node.id}`.toLowerCase();
    button.addEventListener("click", () => select(node.id, true));
  }
  const search = document.getElementById("search");
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const button of list.querySelectorAll("button")) {
      button.parentElement.hidden = !button.dataset.text.includes(wanted);
    }
  });
  search.addEventListener("keydown", (event) => {
    const first = list.querySelector("li:not([hidden]) button");
    if (event.key === "Enter" && first) first.click();
  });
})();
