// The redacted text with its evidence, by kind. Spans count characters, not UTF-16 units.
import { el } from "./api.js";

const ORDER = ["personal", "gate", "matter", "place", "time", "owner"];

export function marked(answer, demand, raw) {
  const chars = Array.from(answer.redacted_text);
  const original = raw === null ? null : Array.from(raw);
  const kinds = chars.map(() => null);
  const paint = (kind, spans) => spans.forEach(([a, b]) => {
    for (let i = a; i < b; i += 1) if (kinds[i] === null) kinds[i] = kind;
  });
  const spans = {
    personal: [], gate: answer.gate.evidence,
    matter: demand.categories[0].evidence, place: demand.place.evidence,
    time: demand.elements.time.map((e) => e.span),
    owner: [...demand.elements.owner, ...demand.elements.actor].map((e) => e.span),
  };
  chars.forEach((c, i) => {
    const masked = original && original.length === chars.length ? c !== original[i] : c === "*" || c === "＊";
    if (masked) spans.personal.push([i, i + 1]);
  });
  ORDER.forEach((kind) => paint(kind, spans[kind]));
  const [from, to] = demand.span;
  const whole = document.createDocumentFragment();
  for (let i = 0; i < chars.length;) {
    const inside = i >= from && i < to;
    let j = i + 1;
    while (j < chars.length && kinds[j] === kinds[i] && (j >= from && j < to) === inside) j += 1;
    const text = chars.slice(i, j).join("");
    const cls = [kinds[i] ? `mk ${kinds[i]}` : "", inside ? "" : "off"].join(" ").trim();
    whole.append(cls ? el("span", { class: cls }, text) : text);
    i = j;
  }
  return whole;
}
