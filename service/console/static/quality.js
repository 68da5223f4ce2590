// The charts of the quality board. Each can be saved as a picture and as the table behind it; where
// the chart library is not installed, that table takes the place of the chart.
import { call, el, percent } from "./api.js";

const board = document.getElementById("board");
const init = "charts" in board.dataset ? (await import("./vendor/echarts.js")).init : null;
const { days } = board.dataset;
const figures = JSON.parse(board.dataset.figures);
const names = JSON.parse(board.dataset.names);
const classes = JSON.parse(board.dataset.classes);
const INK = "#33414e";
const GREY = "#9aa7b3";
const [BLUE, GREEN, AMBER, RED, PALE] = ["#1f5fa8", "#2a7d4f", "#b26a00", "#a82020", "#c3d3e5"];
const COLOURS = [BLUE, GREEN, AMBER, RED, "#6a4fa0", "#12808a", "#8a6d3b", "#5b6b7a"];
const MEASURES = { accepted1: "首项采纳", accepted3: "前三含正确项", accepted5: "前五含正确项", changed: "单位改派", returned: "退回", decided: "件数" };
const HEADINGS = Object.entries(MEASURES).map(([name, words]) => (name === "decided" ? words : `${words}（%）`));
const DIMENSIONS = { class: "大类", unit: "承办单位", district: "区", model: "模型" };
const FONT = getComputedStyle(document.body).fontFamily;
const hundred = (p) => (p === null || p === undefined ? null : Math.round(1000 * p) / 10);
const short = (text, most = 14) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const nameOf = (code) => names[code] || code;

const base = () => ({
  color: COLOURS, textStyle: { fontFamily: FONT, color: INK, fontSize: 13 }, animation: false,
  grid: { left: 8, right: 20, top: 44, bottom: 8, containLabel: true },
  legend: { top: 6, type: "scroll", textStyle: { color: INK, fontSize: 13 } },
  // Drawn, not HTML: the policy of the page forbids inline styles.
  tooltip: { trigger: "axis", renderMode: "richText", confine: true },
  aria: { enabled: true },
});
const rates = { type: "value", min: 0, max: 100, axisLabel: { formatter: "{value}%", color: INK } };
const along = (data) => ({ type: "category", data, axisLabel: { color: INK, hideOverlap: true } });
const line = (name, data, more = {}) => ({ name, type: "line", data, connectNulls: false, symbolSize: 7, ...more });

// Saving.

function save(name, href) {
  const link = el("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
const harmless = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : value ?? "");
function csv(rows) {
  const cell = (value) => `"${String(harmless(value)).replaceAll('"', '""')}"`;
  return new Blob(["\ufeff", rows.map((row) => row.map(cell).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" });
}

// A chart's `make` returns what to draw and the rows behind it, or null where there is nothing to show.
// `note` is said of the figures, `drawn` only of the drawing.
function add(title, make, { note = "", drawn = "", controls = [], wide = false } = {}) {
  const box = el("div", { class: init ? "chart" : "rows" });
  const none = el("p", { class: "empty", hidden: true }, init ? "还没有可画的数据" : "还没有数据");
  const tool = (what) => el("button", { type: "button", class: "quiet", "aria-label": `${title}：保存${what}` }, `存${what}`);
  const picture = init && tool("图");
  const table = tool("数据");
  const words = [note, init && drawn].filter(Boolean).join("；");
  const figure = el("figure", { class: wide ? "card wide" : "card" },
    el("figcaption", { class: "row" }, el("b", {}, title), words && el("small", {}, words), el("span", { class: "grow" }), ...controls, picture, table), box, none);
  document.getElementById("charts").append(figure);
  const show = init ? drawing(title, box, picture) : listing(title, box);
  let rows = [];
  table.addEventListener("click", () => {
    const href = URL.createObjectURL(csv(rows));
    save(`${title}.csv`, href);
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  });
  const redraw = async () => {
    const made = await make();
    box.hidden = !made;
    none.hidden = Boolean(made);
    for (const button of figure.querySelectorAll("button")) button.disabled = !made;
    if (!made) return;
    rows = made.rows;
    show(made);
    box.dataset.drawn = String(rows.length);
  };
  redraw();
  return redraw;
}

function drawing(title, box, picture) {
  const chart = init(box, null, { renderer: "canvas", locale: "ZH" });
  new ResizeObserver(() => chart.resize()).observe(box);
  picture.addEventListener("click", () => save(`${title}.png`, chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: "#fff" })));
  return ({ option }) => {
    chart.resize();
    chart.setOption({ ...base(), ...option }, true);
    // The library describes the chart in words for a screen reader; the title comes first.
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${title}。${box.getAttribute("aria-label") || ""}`);
  };
}

function listing(title, box) {
  // It scrolls, so the keyboard must reach it.
  for (const [name, value] of [["role", "region"], ["tabindex", "0"], ["aria-label", title]]) box.setAttribute(name, value);
  return ({ rows: [head, ...body] }) => {
    const number = head.map((_, i) => body.every((row) => typeof row[i] !== "string") && "num");
    const cells = (tag, row) => el("tr", {}, row.map((value, i) => el(tag, { class: number[i] }, String(value ?? "—"))));
    box.replaceChildren(el("table", { class: "list" }, el("thead", {}, cells("th", head)), el("tbody", {}, body.map((row) => cells("td", row)))));
  };
}

function choice(label, options, changed) {
  const box = el("select", { "aria-label": label }, Object.entries(options).map(([value, words]) => el("option", { value }, words)));
  box.addEventListener("change", () => changed(box.value));
  return box;
}

// The charts.

// Days over three months are noise.
const weekly = Number(days) > 31;
const by = weekly ? figures.by_week : figures.by_day;
const stepName = weekly ? "周（周一）" : "日期";
const stepLabel = (at) => (weekly ? `${at.slice(5)} 周` : at.slice(5));
add(weekly ? "每周件数" : "每日件数", () => by.length && {
  rows: [[stepName, "派单建议", "已处理"], ...by.map((r) => [r.name, r.suggestions, r.decided])],
  option: {
    xAxis: along(by.map((r) => stepLabel(r.name))), yAxis: { type: "value", minInterval: 1 },
    series: [
      { name: "派单建议", type: "bar", data: by.map((r) => r.suggestions), color: PALE, barMaxWidth: 28 },
      { name: "已处理", type: "bar", data: by.map((r) => r.decided), color: BLUE, barMaxWidth: 28 },
    ],
  },
});

add(weekly ? "每周采纳、改派与退回" : "每日采纳、改派与退回", () => by.some((r) => r.decided) && {
  rows: [[stepName, ...HEADINGS], ...by.map((r) => [r.name, ...Object.keys(MEASURES).map((m) => measure(r, m))])],
  option: {
    xAxis: along(by.map((r) => stepLabel(r.name))), yAxis: rates,
    series: [["accepted1", BLUE], ["accepted3", "#12808a"], ["accepted5", GREEN], ["changed", AMBER], ["returned", RED]].map(([m, color]) => line(MEASURES[m], by.map((r) => measure(r, m)), { color })),
  },
});

function measure(point, name) {
  if (name === "decided") return point.decided;
  if (name === "changed") return point.unit_kept === null ? null : hundred(1 - point.unit_kept);
  return hundred(point[name]);
}

let dimension = "class";
let shown = "accepted1";
const trends = {};
const redrawTrend = add("随时间的变化", async () => {
  const trend = trends[dimension] ??= await call("GET", `/v1/quality/trend?by=${dimension}&days=${days}`);
  const title = (s) => (dimension === "class" ? classes[s.name] : null) || s.name || "—";
  return trend.times.length > 0 && {
    rows: [[stepName, DIMENSIONS[dimension], ...HEADINGS],
      ...trend.series.flatMap((s) => s.points.map((p, i) => [trend.times[i], title(s), ...Object.keys(MEASURES).map((m) => measure(p, m))]))],
    option: {
      xAxis: along(trend.times.map(stepLabel)),
      yAxis: shown === "decided" ? { type: "value", minInterval: 1 } : rates,
      // A rate of three tickets says nothing.
      series: trend.series.map((s) => line(title(s), s.points.map((p) => (shown === "decided" || p.labelled >= 5 ? measure(p, shown) : null)), { connectNulls: true })),
    },
  };
}, {
  wide: true, note: `${weekly ? "按周" : "按日"}，件数最多的八个`, drawn: "不足 5 件的不画",
  controls: [choice("按什么分", DIMENSIONS, (v) => { dimension = v; redrawTrend(); }), init && choice("看什么", MEASURES, (v) => { shown = v; redrawTrend(); })],
});

const { drift } = figures;
add("校准漂移", () => drift.length && {
  rows: [["周（周一）", "件数", "自称的把握（%）", "单位未改（%）", "区间下限（%）", "区间上限（%）", "警报"], ...drift.map((w) => [w.week, w.count, hundred(w.said), hundred(w.was), hundred(w.interval[0]), hundred(w.interval[1]), { "too-sure": "把握偏高", "too-modest": "把握偏低" }[w.alarm] || ""])],
  option: {
    xAxis: along(drift.map((w) => `${w.week.slice(5)} 周`)), yAxis: { ...rates, min: 0 },
    series: [
      line("自称的把握", drift.map((w) => hundred(w.said)), { color: GREY, lineStyle: { type: "dashed" } }),
      line("单位未改", drift.map((w) => ({ value: hundred(w.was), itemStyle: w.alarm ? { color: RED } : undefined, symbolSize: w.alarm ? 13 : 7 })), { color: BLUE }),
    ],
  },
}, { drawn: "红点：差距不是偶然" });

const bins = figures.calibration;
add("把握与实际", () => bins.length && {
  rows: [["自称的把握（%）", "单位未改（%）", "件数"], ...bins.map((b) => [hundred(b.said), hundred(b.was), b.count])],
  option: {
    tooltip: { trigger: "item", renderMode: "richText", confine: true, formatter: ({ value }) => `自称 ${value[0]}%，实际 ${value[1]}%${value[2] ? `，${value[2]} 件` : ""}` },
    xAxis: { ...rates, name: "自称的把握", nameLocation: "middle", nameGap: 28 }, yAxis: { ...rates, name: "单位未改" },
    series: [
      { name: "理想", type: "line", data: [[0, 0], [100, 100]], symbol: "none", lineStyle: { type: "dashed" }, color: GREY, silent: true },
      line("实际", bins.map((b) => [hundred(b.said), hundred(b.was), b.count]), { color: BLUE, symbolSize: (v) => 6 + Math.min(16, Math.sqrt(v[2])) }),
    ],
  },
}, { drawn: "点越大件数越多" });

const { curve } = figures;
add("覆盖与正确率", () => curve.length && {
  rows: [["把握不低于（%）", "覆盖（%）", "单位未改（%）"], ...curve.map((p) => [hundred(p.from), hundred(p.share), hundred(p.precision)])],
  option: {
    tooltip: { trigger: "axis", renderMode: "richText", confine: true, formatter: ([p]) => `最有把握的 ${p.value[0]}%：${p.value[1]}% 没有改单位\n把握不低于 ${percent(p.value[2])}` },
    legend: { show: false },
    xAxis: { ...rates, name: "覆盖（按把握从高到低）", nameLocation: "middle", nameGap: 28 }, yAxis: { ...rates, name: "单位未改", min: (v) => Math.max(0, Math.floor((Math.min(v.min, 94) - 2) / 10) * 10) },
    grid: { left: 8, right: 48, top: 44, bottom: 8, containLabel: true },
    series: [line("单位未改", curve.map((p) => [hundred(p.share), hundred(p.precision), p.from]), {
      color: BLUE, symbol: "none",
      markLine: { silent: true, symbol: "none", lineStyle: { color: GREY, type: "dashed" }, label: { formatter: "{c}%", color: INK }, data: figures.coverage.map((c) => ({ yAxis: 100 * c.precision })) },
    })],
  },
});

const across = (rows, series) => ({
  grid: { left: 8, right: 30, top: 44, bottom: 8, containLabel: true },
  yAxis: { type: "category", inverse: true, data: rows, axisLabel: { color: INK, fontSize: 12 } }, xAxis: { type: "value", minInterval: 1 }, series,
});
const confused = figures.confusions.slice(0, 12);
add("最常见的改判", () => confused.length && {
  rows: [["建议", "改为", "次数"], ...figures.confusions.map((c) => [nameOf(c.from), nameOf(c.to), c.count])],
  option: { legend: { show: false }, ...across(confused.map((c) => `${short(nameOf(c.from), 11)} → ${short(nameOf(c.to), 11)}`), [{ name: "次数", type: "bar", data: confused.map((c) => c.count), color: AMBER, barMaxWidth: 16 }]) },
});

let place = "district";
const hot = { district: figures.hot };
const redrawHot = add("高频与上升的事项", async () => {
  hot[place] ??= (await call("GET", `/v1/quality/hot?place=${place}`)).hot;
  const all = hot[place];
  const top = all.slice(0, 12);
  const where = (h) => [h.district, h.town].filter(Boolean).join(" ");
  return top.length > 0 && {
    rows: [["地点", "编码", "事项", "近 7 天", "来电人", "此前周均", "显著上升", "偶然的概率"], ...all.map((h) => [where(h), h.code, nameOf(h.code), h.week, h.callers, h.usual, h.rising ? "是" : "", h.chance === null ? "" : h.chance.toPrecision(2)])],
    option: across(top.map((h) => `${h.rising ? "▲ " : ""}${place === "town" ? h.town : h.district} ${short(nameOf(h.code), 12)}`), [
      { name: "近 7 天", type: "bar", color: BLUE, data: top.map((h) => ({ value: h.week, itemStyle: h.rising ? { color: RED } : undefined })), barMaxWidth: 11 },
      { name: "此前周均", type: "bar", data: top.map((h) => h.usual), color: PALE, barMaxWidth: 11 },
    ]),
  };
}, { drawn: "▲ 红：显著上升", controls: [choice("按什么地点", { district: "按区", town: "按街镇" }, (v) => { place = v; redrawHot(); })] });

const models = figures.by_model.filter((m) => m.labelled);
add("模型对比", () => models.length && {
  rows: [["模型", "已处理", "首项采纳（%）", "区间下限（%）", "区间上限（%）", "前三（%）", "前五（%）", "单位改派（%）", "退回（%）"], ...models.map((m) => [m.name, m.decided, hundred(m.accepted1), hundred(m.interval[0]), hundred(m.interval[1]), hundred(m.accepted3), hundred(m.accepted5), measure(m, "changed"), hundred(m.returned)])],
  option: {
    xAxis: along(models.map((m) => short(m.name, 22))), yAxis: rates,
    series: [["accepted1", BLUE], ["accepted3", "#12808a"], ["accepted5", GREEN], ["changed", AMBER], ["returned", RED]].map(([m, color]) => ({ name: MEASURES[m], type: "bar", color, data: models.map((r) => measure(r, m)), barMaxWidth: 26 })),
  },
}, { drawn: "首项采纳的 95% 区间见下表" });
