// The operator's page. Everything it shows comes through `source`, everything it changes through `act`.
"use strict";

const $ = (id) => document.getElementById(id);
const STATE_MS = 200;
const LISTS_MS = 2000;
const REQUEST_MS = 5000;

// ---- data ------------------------------------------------------------------------------------------------------

const source = {
  async ask(method, path, body) {
    const headers = {};
    const token = sessionStorage.getItem("token");
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(REQUEST_MS),
    });
    const value = await answer.json().catch(() => ({}));
    return { status: answer.status, value };
  },
  async get(path) {
    const { status, value } = await this.ask("GET", path);
    if (status === 200) return value;
    // One that opens nothing any more would only lock this address out.
    if (status === 401) sessionStorage.removeItem("token");
    throw Object.assign(new Error(value.error || `status ${status}`), { status });
  },
  state: () => source.get("/health/state"),
  info: () => source.get("/api/v1/status/info"),
  latency: () => source.get("/api/v1/latency"),
  history: (stage) => source.get(`/api/v1/latency/history?stage=${encodeURIComponent(stage)}`),
  equity: () => source.get("/api/v1/equity?limit=500"),
  orders: () => source.get("/api/v1/orders?open=true&limit=50"),
  fills: () => source.get("/api/v1/fills?limit=20"),
  events: () => source.get("/api/v1/events?limit=30"),
  held: () => source.get("/api/v1/held"),
  alerts: () => source.get("/api/v1/alerts"),
};

// ---- small helpers ---------------------------------------------------------------------------------------------

function put(id, text, tone = "") {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
  if (element.dataset.tone !== tone) {
    element.classList.remove("good", "bad", "warn");
    if (tone) element.classList.add(tone);
    element.dataset.tone = tone;
  }
}

// Rows of cells, each a text or [text, class]; nothing that comes from outside is ever read as markup.
function fill(id, rows, empty) {
  const body = $(id).tBodies[0];
  const wanted = JSON.stringify(rows);
  if (body.dataset.shown === wanted) return;
  body.dataset.shown = wanted;
  const made = rows.map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) {
      const [text, tone] = Array.isArray(cell) ? cell : [cell, ""];
      const td = document.createElement("td");
      td.textContent = text;
      if (tone) td.className = tone;
      row.append(td);
    }
    return row;
  });
  if (made.length === 0) {
    const row = document.createElement("tr");
    const td = document.createElement("td");
    td.textContent = empty;
    td.className = "empty";
    td.colSpan = $(id).tHead.rows[0].cells.length;
    row.append(td);
    made.push(row);
  }
  body.replaceChildren(...made);
}

const money = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const tone = (value) => (value > 0 ? "good" : value < 0 ? "bad" : "");
const side = (name) => [name, name === "buy" ? "good" : "bad"];
const clock = (ms) => new Date(ms).toISOString().slice(11, 23);
// Exact decimal text, without the zeros behind it.
const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
// A price of zero is one that nobody has told yet.
const some = (text) => (Number(text) ? short(text) : "–");
const nanos = (ns) => (ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : ns >= 1e3 ? `${(ns / 1e3).toFixed(1)} µs` : `${ns} ns`);

// What cannot be read right now, by who tried.
const troubles = new Map();

function trouble(whose, text) {
  if (text) troubles.set(whose, text);
  else troubles.delete(whose);
  const all = [...new Set(troubles.values())].join(" · ");
  if ($("trouble").textContent !== all) $("trouble").textContent = all;
  $("trouble").hidden = !all;
}

function stale(ids, isStale) {
  ids.forEach((id) => $(id).classList.toggle("stale", isStale));
}

// What became of something that was pressed; it stays until the next.
function notice(text, isPlain = false) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  $("notice").classList.toggle("plain", isPlain);
}

// ---- what is shown ---------------------------------------------------------------------------------------------

const STATES = { armed: "good", disarmed: "warn", cancel_only: "warn", halted: "bad" };

const FIGURES = ["instruments", "net", "realized", "fees", "orders_sent", "fills_count", "refusals"];

function showState(state) {
  const word = !state.running ? "NOT RUNNING" : state.kill ? "KILLED" : state.trading_state.replace("_", " ");
  const badge = $("trading");
  badge.textContent = word;
  badge.className = `badge ${!state.running || state.kill ? "bad" : STATES[state.trading_state] || ""}`;
  const problems = [...state.reasons];
  if (state.running && !state.orders_link) problems.push("no order connection");
  if (state.running && !state.events_link) problems.push("no account stream");
  put("fresh", problems.join(", ") || "connected, reconciled", problems.length ? "bad" : "");
  stale(FIGURES, !state.running);
  const sum = (name) => state.instruments.reduce((total, i) => total + Number(i[name]), 0);
  const [realized, fees] = [sum("realized"), sum("fees")];
  put("net", money(realized - fees), tone(realized - fees));
  put("realized", money(realized), tone(realized));
  put("fees", money(fees));
  put("orders_sent", state.counters.orders_sent.toLocaleString("en"));
  put("fills_count", state.counters.fills.toLocaleString("en"));
  put("refusals", state.counters.refusals.toLocaleString("en"));
  put("lag", `${(state.archive_lag_bytes / 1024).toFixed(0)} KiB`);
  fill("instruments", state.instruments.map((i) => [
    i.symbol,
    i.book_valid ? ["valid", "good"] : ["invalid", "bad"],
    short(i.bid_qty), [i.bid, "good"], [i.ask, "bad"], short(i.ask_qty),
    [short(i.position), tone(Number(i.position))], some(i.entry_price), some(i.mark),
    [short(i.realized), tone(Number(i.realized))], String(i.open_orders),
  ]), "no instrument");
}

function showInfo(info) {
  put("mode", info.mode.toUpperCase(), info.mode === "live" ? "bad" : "");
  put("session", info.session ? `session ${info.session}` : "no session");
  const up = info.uptime_seconds ?? 0;
  put("uptime", `up ${Math.floor(up / 3600)} h ${Math.floor(up / 60) % 60} min`);
  put("version", `tickpath ${info.version}`);
}

// Rows and their buttons stay while only the seconds change, so that nobody presses the button of another order.
// Of anything but a limit order the price says less: what it waits for, or the worst that it was judged by.
const priced = (o) => (o.order_type === "limit" ? "" : `${o.order_type} `) + short(o.price);

function showHeld(rows) {
  $("held_section").hidden = rows.length === 0;
  fill("held", rows.map((o) => [o.order, o.strategy, o.symbol, side(o.side), short(o.qty), priced(o), "", ""]),
    "nothing waits");
  [...$("held").tBodies[0].rows].forEach((row, at) => {
    const order = rows[at];
    if (!order) return;
    row.cells[6].textContent = String(Math.ceil(order.left_ms / 1000));
    if (row.cells[7].childElementCount) return;
    const what = `${order.side} ${short(order.qty)} ${order.symbol} at ${priced(order)} (${order.order}).`;
    for (const verb of ["approve", "deny"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = verb;
      button.addEventListener("click", () => act(verb, { order: order.order }, what));
      row.cells[7].append(button, " ");
    }
  });
}

function showAlerts(active) {
  $("alerts_section").hidden = active.length === 0;
  fill("alerts", active.map((a) => [
    clock(a.since_ms), [a.severity, { critical: "bad", warning: "warn" }[a.severity] || ""], a.name, [a.text, "text"],
  ]), "no alert");
}

const LISTS = {
  alerts: (alerts) => showAlerts(alerts.active),
  held: (held) => showHeld(held.rows),
  orders: (orders) => fill("orders", orders.rows.map((o) => [
    clock(o.sent_ns / 1e6), o.symbol, side(o.side), short(o.qty), short(o.filled), priced(o), o.state,
  ]), "no open order"),
  fills: (fills) => fill("fills", fills.rows.map((f) => [
    clock(f.venue_ms), f.symbol, side(f.side), short(f.qty), short(f.price), `${short(f.fee)} ${f.fee_asset}`,
  ]), "no fill"),
  events: (events) => fill("events", events.rows.map((e) => [
    clock(e.time_ns / 1e6), [e.severity, { error: "bad", warning: "warn" }[e.severity] || ""], e.code, [e.text, "text"],
  ]), "nothing happened"),
};

// Each by itself: one that fails is told and greyed, and stands in no other's way.
const showLists = () => Promise.all(Object.entries(LISTS).map(async ([name, show]) => {
  try {
    show(await source[name]());
    stale([name], false);
    trouble(name, "");
  } catch (error) {
    stale([name], true);
    trouble(name, `${name}: ${told(error)}`);
  }
}));

// ---- charts ----------------------------------------------------------------------------------------------------

const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
const line = () => getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
const axis = (values) => ({ stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, size: 70, values });
const charts = {};

function chart(id, series, values, scale) {
  const host = $(id);
  const size = () => ({ width: host.clientWidth || 400, height: 220 });
  const made = new uPlot({
    ...size(),
    scales: { x: { time: true }, y: scale },
    axes: [{ ...axis(), size: 50 }, axis(values)],
    series: [{}, ...series],
  }, [[], ...series.map(() => [])], host);
  new ResizeObserver(() => made.setSize(size())).observe(host);
  charts[id] = made;
}

function makeCharts() {
  const show = (_, value) => (value == null ? "–" : nanos(value));
  chart("latency", [
    { label: "p50", stroke: "#3b82f6", value: show },
    { label: "p99", stroke: "#d97706", value: show },
    { label: "max", stroke: "#dc2626", value: show },
  ], (_, ticks) => ticks.map((tick) => (Math.log10(tick) % 1 === 0 ? nanos(tick) : "")), { distr: 3 });
  chart("equity", [{ label: "net", stroke: "#10b981", value: (_, v) => (v == null ? "–" : money(v)) }],
    (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")), {});
}

let meanings = {};

async function showStages() {
  const { stages } = await source.latency();
  meanings = Object.fromEntries(Object.entries(stages).map(([name, stage]) => [name, stage.meaning]));
  const used = Object.keys(stages).filter((name) => stages[name].count > 0);
  const select = $("stage");
  if (select.dataset.stages === used.join()) return;
  const chosen = select.value || (used.includes("tick_to_trade") ? "tick_to_trade" : used[0]);
  select.dataset.stages = used.join();
  select.replaceChildren(...used.map((name) => new Option(name.replaceAll("_", " "), name, false, name === chosen)));
}

async function showCharts() {
  await showStages();
  const stage = $("stage").value;
  if (stage) {
    const { points } = await source.history(stage);
    const column = (name) => points.map((p) => (p[name] > 0 ? p[name] : null));
    charts.latency.setData([points.map((p) => p.unix_s), column("p50_ns"), column("p99_ns"), column("max_ns")]);
    const last = points.findLast((p) => p.count > 0);
    put("stage_meaning", `${meanings[stage]} ${last ? `Last second with any: ${last.count}.` : ""}`);
  }
  const { rows } = await source.equity();
  charts.equity.setData([rows.map((r) => r.closed_ms / 1000), rows.map((r) => Number(r.net))]);
  put("equity_meaning", rows.length ? `${rows.length} round trips, net of commission.` : "No round trip is closed yet.");
}

// ---- what is changed -------------------------------------------------------------------------------------------

const VERBS = {
  arm: { title: "Arm", text: "Orders will leave within the limits.", ok: "Arm" },
  disarm: { title: "Disarm", text: "No new order leaves; working ones are canceled.", ok: "Disarm" },
  kill: {
    title: "Kill", ok: "Kill", isDanger: true,
    text: "No order leaves, working ones are canceled. It stays so over restarts until an admin releases it.",
  },
  "clear-kill": { title: "Release the kill latch", text: "The state becomes disarmed; arming is another step.", ok: "Release" },
  approve: { title: "Approve", text: "The order leaves if the limits still let it.", ok: "Approve" },
  deny: { title: "Deny", text: "The order is refused.", ok: "Deny" },
};

// Asks a person; resolves to the reason, or to null when nothing shall be done.
function confirmed({ title, text, ok, isDanger }, wantsToken, wantsReason) {
  put("dialog_title", title);
  put("dialog_text", text);
  $("dialog_ok").textContent = ok;
  $("dialog_ok").className = isDanger ? "danger" : "";
  $("token_label").hidden = !wantsToken;
  $("reason_label").hidden = !wantsReason;
  $("token").value = $("reason").value = "";
  const dialog = $("dialog");
  dialog.returnValue = "";
  $("dialog_cancel").onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "ok") return resolve(null);
    if (wantsToken && $("token").value.trim()) sessionStorage.setItem("token", $("token").value.trim());
    resolve($("reason").value.trim());
  }, { once: true }));
}

async function act(verb, body = {}, what = "") {
  const mode = verb === "arm" ? `Mode: ${$("mode").textContent}.` : "";
  const asked = { ...VERBS[verb], text: `${what} ${VERBS[verb].text} ${mode}`.trim() };
  const reason = await confirmed(asked, !sessionStorage.getItem("token"), true);
  if (reason === null) return;
  const path = `/api/v1/control/${verb}`;
  const sent = reason ? { ...body, reason } : body;
  try {
    let answer = await source.ask("POST", path, sent);
    // The dialog was the person's second thought; the code of the first step goes back with the second.
    if (answer.status === 202) answer = await source.ask("POST", path, { ...sent, confirm: answer.value.confirm });
    if (answer.status === 200) {
      const { outcome, audited } = answer.value;
      return notice(`${VERBS[verb].title}: ${outcome}${audited ? "" : ", but it could not be written down"}`, audited);
    }
    if (answer.status === 401) sessionStorage.removeItem("token");
    notice(`${VERBS[verb].title}: ${answer.value.error || answer.status}`);
  } catch (error) {
    notice(`${VERBS[verb].title}: ${error.message}; it may have been carried out`);
  }
}

async function identify() {
  const text = "It is kept in this tab until it is closed. `tickpath token create` makes one.";
  await confirmed({ title: "Token", text, ok: "Use" }, true, false);
}

// ---- turns -----------------------------------------------------------------------------------------------------

function told(error) {
  return error.status ? error.message : "the control process does not answer; trading does not depend on it";
}

async function turn(whose, work, pause) {
  for (;;) {
    if (!document.hidden) {
      try {
        await work();
        trouble(whose, "");
      } catch (error) {
        trouble(whose, told(error));
        if (whose === "state") {
          put("fresh", "no answer", "bad");
          stale(FIGURES, true);
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function start() {
  // A link may bring a token behind the #, which no server ever sees.
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  makeCharts();
  document.querySelectorAll("[data-act]").forEach((button) => button.addEventListener("click", () => {
    const isKilled = button.dataset.act === "arm" && $("trading").textContent === "KILLED";
    act(isKilled ? "clear-kill" : button.dataset.act);
  }));
  $("identify").addEventListener("click", identify);
  $("stage").addEventListener("change", () => showCharts().catch(() => {}));
  turn("state", async () => showState(await source.state()), STATE_MS);
  turn("info", async () => showInfo(await source.info()), LISTS_MS);
  turn("lists", showLists, LISTS_MS);
  turn("charts", showCharts, LISTS_MS);
}

start();
