// One dialog to look up a leaf or a unit by keyboard; resolves to the choice or null.
import { call, el } from "./api.js";

const dialog = document.getElementById("picker");
const words = document.getElementById("picker-words");
const list = document.getElementById("picker-list");
const title = document.getElementById("picker-title");
let items = [];
let at = 0;
let show = null;
let find = null;
let done = null;
let running = null;

function draw() {
  list.replaceChildren(...items.map((item, i) => {
    const node = el("li", { role: "option", id: `pick-${i}`, "aria-selected": String(i === at), onclick: () => finish(item) }, ...show(item));
    return node;
  }));
  if (items.length) {
    words.setAttribute("aria-activedescendant", `pick-${at}`);
    list.children[at].scrollIntoView({ block: "nearest" });
  } else words.removeAttribute("aria-activedescendant");
}

function finish(item) {
  const resolve = done;
  done = null;
  dialog.close();
  resolve?.(item);
}

let timer = 0;
words.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    running?.abort();
    running = new AbortController();
    try {
      items = words.value.trim() ? await find(words.value, running.signal) : [];
      at = 0;
      draw();
    } catch (fault) { if (fault.name !== "AbortError") { items = []; list.replaceChildren(el("li", {}, fault.message)); } }
  }, 90);
});
words.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    at = Math.max(0, Math.min(items.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
    draw();
  } else if (event.key === "Enter") {
    event.preventDefault();
    if (items[at]) finish(items[at]);
  }
});
// The event comes later than the closing: by then a quick operator may have opened the dialog again.
dialog.addEventListener("close", () => { if (dialog.open) return; const resolve = done; done = null; resolve?.(null); });

function open(heading, finder, shower) {
  done?.(null);
  title.textContent = heading;
  words.setAttribute("placeholder", heading === "查目录" ? "名称、拼音首字母（zdjy）或一句话" : "单位名称、简称或拼音首字母");
  words.value = "";
  items = [];
  list.replaceChildren();
  find = finder;
  show = shower;
  dialog.showModal();
  words.focus();
  return new Promise((resolve) => { done = resolve; });
}

export const pickLeaf = () => open("查目录",
  async (q, signal) => (await call("GET", `/v1/catalogue/search?q=${encodeURIComponent(q)}&limit=12`, { signal })).leaves,
  (leaf) => [el("b", {}, leaf.path[2]), " ", leaf.code, el("small", {}, `${leaf.path[0]} › ${leaf.path[1]} · ${leaf.unit}`)]);
export const pickUnit = () => open("改单位",
  async (q, signal) => (await call("GET", `/v1/units?q=${encodeURIComponent(q)}&limit=12`, { signal })).units,
  (unit) => [el("b", {}, unit.name), el("small", {}, unit.class)]);
