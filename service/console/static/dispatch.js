// The dispatch screen: suggestion as typing stops, choice and decision by keyboard.
import { call, el, newKey, onExpired, percent, setToken } from "./api.js";
import { marked } from "./marks.js";
import { pickLeaf, pickUnit } from "./picker.js";
import { ADVICE, GATES, KINDS, TIERS } from "./words.js";

const $ = (id) => document.getElementById(id);
const [text, result, notice] = [$("text"), $("result"), $("notice")];
// One ticket on screen. `choices` holds the operator's choice for each demand; `keys` make repeats harmless.
let state = fresh();
let asking = null;
let timer = 0;
let busy = false;
const WIDE = matchMedia("(min-width: 901px)");

function fresh() {
  return { id: null, answer: null, asked: null, at: 0, choices: [], key: newKey(), queued: false };
}
function say(words, kind = "") {
  notice.className = kind;
  notice.textContent = words;
}
const waiting = () => say("服务暂时连不上，正在重试，诉求不会丢……", "wait");
const fields = () => ({ text: text.value, address: $("address").value.trim() || null, requester: $("requester").value.trim() || null });

function reset({ focus = true } = {}) {
  asking?.abort();
  state = fresh();
  for (const field of [text, $("address"), $("requester")]) { field.value = ""; field.readOnly = false; }
  $("source").textContent = "";
  for (const id of ["gate", "questions", "alike", "tabs"]) $(id).replaceChildren();
  $("tabs").hidden = $("context").hidden = $("actions").hidden = true;
  $("demand").replaceChildren();
  history.replaceState(null, "", "/");
  if (focus) text.focus();
}

// The suggestion while the operator types: not recorded.
async function preview() {
  const body = fields();
  if (!body.text.trim()) return;
  asking?.abort();
  // Typed and taken back: what is on screen holds, with the operator's choices.
  if (JSON.stringify(body) === JSON.stringify(state.asked)) { if (notice.className) say(""); return; }
  asking = new AbortController();
  const { signal } = asking;
  try {
    const answer = await call("POST", "/v1/suggestions?preview=true", { body, signal, onWait: waiting });
    if (signal.aborted) return;
    if (notice.className) say("");
    // With a key of its own: under the key of the text before, the service knows that text.
    state = { ...fresh(), answer, asked: body };
    begin();
  } catch (fault) {
    if (fault.name !== "AbortError") say(fault.message, "bad");
  }
}

function begin() {
  state.choices = state.answer.demands.map((d) => ({
    code: d.categories[0].code, name: d.categories[0].path.at(-1), done: null, key: newKey(), edited: false,
    unit: d.unit, co_units: d.co_units, cc: d.cc, alternatives: d.alternatives, deadline: d.deadline,
  }));
  state.at = 0;
  draw();
  alike();
}

async function openTicket(id) {
  try {
    const ticket = await call("GET", `/v1/suggestions/${encodeURIComponent(id)}`, { onWait: waiting });
    state = { ...fresh(), id, queued: true, answer: ticket.answer };
    text.value = ticket.text;
    text.readOnly = $("address").readOnly = $("requester").readOnly = true;
    $("address").value = ticket.address || "";
    $("source").textContent = `来自队列 ${ticket.ticket_id || ""} ${ticket.created_at.slice(0, 16).replace("T", " ")}`;
    begin();
    if (ticket.decisions.length) {
      ticket.decisions.forEach((d) => { if (state.choices[d.demand]) state.choices[d.demand].done = d.kind; });
      const open = state.choices.filter((c) => !c.done);
      state.at = Math.max(0, state.choices.indexOf(open[0]));
      say(`这件已由 ${ticket.decisions.at(-1).actor.split(":").pop()} 处理${open.length ? `，还有 ${open.length} 个诉求未处理` : ""}`, "wait");
      draw();
    }
    result.focus({ preventScroll: true });
  } catch (fault) {
    say(fault.message, "bad");
  }
}

function draw() {
  const { answer, at, choices } = state;
  const demand = answer.demands[at];
  const choice = choices[at];
  const gate = answer.gate;
  $("gate").replaceChildren(...(gate.kind === "none" ? [] : [el("div", { class: "advice", role: "alert" },
    el("b", {}, `分流提示：${GATES[gate.kind] || gate.kind}`), el("p", {}, gate.advice || ""), el("small", {}, gate.article ? `《北京市接诉即办工作条例》${gate.article}；只提示，由您决定` : ""))]));
  $("tabs").hidden = answer.demands.length < 2;
  $("tabs").replaceChildren(...answer.demands.map((d, i) => el("button", {
    type: "button", role: "tab", id: `tab-${i}`, "aria-controls": "demand", "aria-selected": String(i === at), tabindex: i === at ? "0" : "-1",
    class: choices[i].done ? "done" : "", onclick: () => { state.at = i; draw(); },
  }, `诉求 ${i + 1} ${choices[i].name}`)));
  $("demand").replaceChildren(categories(demand, choice), facts(demand, choice));
  $("demand").setAttribute("role", answer.demands.length > 1 ? "tabpanel" : "group");
  $("demand").setAttribute("aria-label", `诉求 ${at + 1}`);
  $("context").hidden = false;
  $("marked").replaceChildren(marked(answer, demand, state.queued ? null : state.asked.text));
  $("questions").replaceChildren(...(demand.questions.length ? [el("section", {}, el("b", {}, "可以追问"), el("ul", {}, demand.questions.map((q) => el("li", {}, q))))] : []));
  $("actions").hidden = false;
  $("chosen").textContent = choice.done ? "此诉求已处理" : `→ ${choice.name} · ${choice.unit.name}`;
}

function categories(demand, choice) {
  const rows = demand.categories.slice(0, 5).map((c, i) => ({ ...c, number: i + 1 }));
  if (!rows.some((c) => c.code === choice.code)) rows.push({ code: choice.code, path: choice.path, confidence: null, number: "✎" });
  return el("ul", { class: "cats", role: "listbox", "aria-label": "类目" }, rows.map((c) => el("li", {
    role: "option", "aria-selected": String(c.code === choice.code), onclick: () => choose(c),
  }, el("kbd", {}, String(c.number)),
  el("span", {}, el("span", { class: "leaf" }, c.path.at(-1)), " ", el("small", {}, c.code), " ", el("span", { class: "up" }, c.path.slice(0, -1).join(" › "))),
  c.confidence === null ? el("span") : el("meter", { min: 0, max: 1, value: c.confidence, "aria-hidden": "true", class: "blue" }, ""),
  el("span", { class: "num" }, c.confidence === null ? "自选" : percent(c.confidence)))));
}

function facts(demand, choice) {
  const changed = choice.unit.name !== demand.unit.name;
  const [advice, colour] = ADVICE[demand.decision] || [demand.decision, ""];
  const place = demand.place;
  const where = [place.district, place.town, place.community, place.name].filter((p, i, all) => p && all.indexOf(p) === i).join(" ") || "文中没有可识别的地点";
  const rows = [
    ["承办单位", [el("span", { class: "lead" }, choice.unit.name), " ", el("small", {}, changed ? "（已改）" : choice.unit.class)]],
    ["把握", [el("span", { class: "sure" }, el("meter", { min: 0, max: 1, value: demand.confidence, class: colour, "aria-hidden": "true" }), el("b", { class: "num" }, percent(demand.confidence)), el("span", { class: `tag ${colour}` }, advice))]],
    ["为什么", [choice.edited ? "由您指定" : choice.unit.reason || "", !choice.edited && choice.unit.rule ? el("small", {}, ` 规则 ${choice.unit.rule}`) : ""]],
    ["办理时限", [el("b", {}, TIERS[choice.deadline.tier] || choice.deadline.tier), el("small", {}, `　${choice.deadline.basis}`)]],
    ["地点", [where, el("small", {}, KINDS[place.kind] ? `　${KINDS[place.kind]}` : ""), place.status === "ambiguous" ? el("span", { class: "tag amber" }, "有歧义") : ""]],
    choice.co_units.length && ["协办", [choice.co_units.map((u) => u.name).join("、")]],
    choice.cc.length && ["抄送", [choice.cc.map((u) => u.name).join("、")]],
    choice.alternatives.length && ["备选", [el("small", {}, choice.alternatives.map((u) => u.name).join("；"))]],
    ["类型", [demand.request_type.value, ...state.answer.flags.sensitive.map((s) => el("span", { class: "tag red" }, s))]],
  ].filter(Boolean);
  return el("dl", { class: "unit" }, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function choose(category) {
  const choice = state.choices[state.at];
  choice.code = category.code;
  choice.name = category.path.at(-1);
  choice.path = category.path;
  draw();
  reroute(state.answer.demands[state.at], choice);
}

// Another leaf may belong to another unit: ask the rules, unless the operator named a unit.
async function reroute(demand, choice) {
  const { code } = choice;
  if (choice.edited) return;
  if (code === demand.categories[0].code) { Object.assign(choice, routeOf(demand)); draw(); return; }
  const [from, to] = demand.span;
  try {
    const route = await call("POST", "/v1/route", { onWait: waiting, body: {
      code, text: Array.from(state.answer.redacted_text).slice(from, to).join(""), kind: demand.place.kind,
      district: demand.place.district, town: demand.place.town, request_type: demand.request_type.value, gate: state.answer.gate.kind,
      owners: demand.elements.owner.map((e) => e.value), actors: demand.elements.actor.map((e) => e.value),
    } });
    if (choice.code === code && !choice.edited) { Object.assign(choice, route); draw(); }
  } catch (fault) { say(fault.message, "bad"); }
}
const routeOf = ({ unit, co_units, cc, alternatives, deadline }) => ({ unit, co_units, cc, alternatives, deadline });

async function alike() {
  const mine = state;
  const demand = state.answer.demands[0];
  try {
    const found = await call("POST", "/v1/alike", { tries: 0, body: {
      text: state.answer.redacted_text, code: demand.categories[0].code, district: demand.place.district, town: demand.place.town,
      requester: state.asked?.requester || null,
    } });
    if (mine !== state) return;
    const line = (t) => el("li", {}, el("a", { href: `/?ticket=${t.id}` }, t.text.slice(0, 60)), el("small", {}, ` ${t.created_at.slice(0, 10)} ${t.unit}${t.why ? ` · ${t.why}` : ""}`));
    const block = (title, rows, open) => {
      const others = rows.filter((t) => t.id !== state.id);
      return others.length ? el("details", { open }, el("summary", {}, `${title} ${others.length} 件`), el("ul", {}, others.slice(0, 4).map(line))) : null;
    };
    $("alike").replaceChildren(...[block("疑似重复（不会自动合并）", found.duplicates, WIDE.matches), block("相近的历史工单", found.similar, false)].filter(Boolean));
  } catch { $("alike").replaceChildren(); }
}

// Records the suggestion once, then the decision, both under keys that survive a retry.
async function decide(kind, reason = null) {
  if (busy || !state.answer) return;
  if (!state.queued && JSON.stringify(fields()) !== JSON.stringify(state.asked)) { say("内容刚改过，正在更新建议，请再看一眼", "wait"); await preview(); return; }
  const ticket = state;
  const choice = ticket.choices[ticket.at];
  const demand = ticket.answer.demands[ticket.at];
  if (choice.done) { next(ticket); return; }
  busy = true;
  say("");
  try {
    if (!ticket.id) {
      const stored = await call("POST", "/v1/suggestions", { body: ticket.asked, key: ticket.key, onWait: waiting });
      ticket.id = stored.suggestion_id;
    }
    const changed = choice.code !== demand.categories[0].code || choice.unit.name !== demand.unit.name;
    const body = { suggestion_id: ticket.id, demand: ticket.at, kind, code: choice.code, reason, unless_decided: true };
    if (kind === "accepted" && changed) body.kind = "changed";
    else if (kind === "accepted" && ticket.answer.gate.kind !== "none") body.kind = "overruled";
    if (choice.unit.name !== demand.unit.name) { body.unit = choice.unit.name; if (choice.unit.code) body.unit_code = choice.unit.code; }
    const saved = await call("POST", "/v1/decisions", { body, key: choice.key, onWait: waiting });
    choice.done = body.kind;
    const what = { accepted: "已采纳", changed: "已改派", overruled: "已派单（未采纳分流提示）", returned: "已退回" }[body.kind];
    await next(ticket, `${what}：${choice.name} → ${choice.unit.name}${saved.stored === "spool" ? "（存储暂不可用，已存盘，稍后自动补写）" : ""}`);
  } catch (fault) {
    if (fault.kind === "already-decided") {
      choice.done = "taken";
      await next(ticket, "这件诉求刚刚已由他人处理");
    } else say(fault.message, "bad");
  } finally {
    busy = false;
  }
}

async function next(ticket, words = "") {
  // The operator went on to another ticket while this one was being recorded: leave it alone.
  if (state !== ticket) { say(words); return; }
  const open = ticket.choices.findIndex((c) => !c.done);
  if (open >= 0) { ticket.at = open; draw(); say(words); return; }
  if (ticket.queued) { await afterQueue(words); return; }
  if (text.value !== ticket.asked.text) { state = fresh(); say(words); preview(); return; }
  reset();
  say(words);
}

async function afterQueue(words) {
  const { tickets } = await call("GET", "/v1/tickets?status=review&limit=1", { onWait: waiting });
  reset({ focus: !tickets.length });
  if (tickets.length) {
    history.replaceState(null, "", `/?ticket=${tickets[0].id}`);
    await openTicket(tickets[0].id);
    say(`${words}；已打开队列下一件`);
  } else say(`${words}；队列已清空`);
}

async function findLeaf() {
  if (!state.answer) return;
  const leaf = await pickLeaf();
  if (leaf) choose(leaf);
  result.focus({ preventScroll: true });
}
async function editUnit() {
  if (!state.answer) return;
  const unit = await pickUnit();
  if (unit) { Object.assign(state.choices[state.at], { unit, edited: true }); draw(); }
  result.focus({ preventScroll: true });
}
function giveBack() {
  if (!state.answer) return;
  $("reason").value = "";
  $("returning").showModal();
  $("reason").focus();
}

// Keys. Inside the text only Ctrl+Enter, Alt+1–5 and Esc act; everything else is typing.
document.addEventListener("keydown", (event) => {
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, textarea");
  const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
  if (event.key === "Escape" && typing) { event.preventDefault(); result.focus({ preventScroll: true }); return; }
  // A key held down must not decide what comes after, unseen.
  if (event.repeat && event.key === "Enter" && (!typing || event.ctrlKey)) { event.preventDefault(); return; }
  if (event.key === "Enter" && event.ctrlKey) { event.preventDefault(); decide("accepted"); return; }
  if (/^[1-5]$/.test(event.key) && state.answer && (event.altKey || (!typing && plain))) {
    const category = state.answer.demands[state.at].categories[Number(event.key) - 1];
    if (category) { event.preventDefault(); choose(category); }
    return;
  }
  if (typing || !plain) return;
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return;
  const act = { Enter: () => decide("accepted"), "/": findLeaf, e: editUnit, r: giveBack, n: () => { reset(); say(""); }, ArrowLeft: () => turn(-1), ArrowRight: () => turn(1) }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act && (state.answer || event.key.toLowerCase() === "n")) { event.preventDefault(); act(); }
});
function turn(step) {
  const count = state.answer.demands.length;
  state.at = (state.at + step + count) % count;
  draw();
  if (document.activeElement?.closest("#tabs")) $(`tab-${state.at}`).focus();
}

for (const field of [text, $("address"), $("requester")]) {
  field.addEventListener("input", () => {
    if (state.queued) return;
    clearTimeout(timer);
    if (!text.value.trim()) { const kept = [$("address").value, $("requester").value]; reset({ focus: false }); [$("address").value, $("requester").value] = kept; return; }
    timer = setTimeout(preview, 160);
  });
}
text.addEventListener("paste", () => setTimeout(() => { clearTimeout(timer); if (!state.queued) preview(); }));
$("new").addEventListener("click", () => { reset(); say(""); });
// Nor must the second half of a double click.
$("accept").addEventListener("click", ({ detail } = {}) => { if (!(detail > 1)) decide("accepted"); });
$("find").addEventListener("click", findLeaf);
$("edit").addEventListener("click", editUnit);
$("return").addEventListener("click", giveBack);
$("return-cancel").addEventListener("click", () => $("returning").close());
$("reason").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.ctrlKey) { event.preventDefault(); $("returning").querySelector("form").requestSubmit(); } });
$("returning").querySelector("form").addEventListener("submit", (event) => {
  const reason = $("reason").value.trim();
  if (event.submitter?.id === "return-cancel") return;
  if (!reason) { event.preventDefault(); return; }
  decide("returned", reason);
});
$("returning").addEventListener("close", () => result.focus({ preventScroll: true }));

// An expired session asks for the password in place, so that the ticket on screen is kept.
let logging = null;
onExpired(() => {
  logging ??= new Promise((resolve) => {
    $("relogin-fault").textContent = "";
    $("relogin-password").value = "";
    $("relogin").showModal();
    $("relogin-password").focus();
    $("relogin-form").onsubmit = async (event) => {
      event.preventDefault();
      const response = await fetch("/login", { method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData($("relogin-form"))) });
      const value = await response.json();
      if (!response.ok) { $("relogin-fault").textContent = value.detail; return; }
      setToken(value.csrf);
      $("relogin").close();
      logging = null;
      resolve();
    };
  });
  return logging;
});
$("relogin").addEventListener("cancel", (event) => event.preventDefault());

const wanted = new URLSearchParams(location.search).get("ticket");
if (wanted) openTicket(wanted);
else if (text.value) preview();
