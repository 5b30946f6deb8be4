"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const NS = "http://www.w3.org/2000/svg";
  const PRINT_WIDTH = 690;
  const LAYERS = data.layerIds.length;

  // ---- elements ----
  function node(name, attributes, parent, text) {
    const made = document.createElementNS(NS, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }

  function canvas(host, width, height, label) {
    const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, tabindex: 0 });
    host.replaceChildren(svg);
    return svg;
  }

  function words(svg, x, y, text, anchor) {
    return node("text", { x, y, "text-anchor": anchor || "start" }, svg, text);
  }

  // ---- numbers ----
  const digits = (value, places) => Number(value.toPrecision(places)).toLocaleString("en", { maximumFractionDigits: 9 });

  function percent(fraction) {
    if (fraction === null || fraction === undefined) return "no bound";
    if (fraction === 0) return "0";
    const value = 100 * fraction;
    return Math.abs(value) < 1e-5 ? "< 0.00001\u00a0%" : `${digits(value, 3)}\u00a0%`;
  }

  function layerName(i) {
    return `Layer ${data.layerIds[i]}`;
  }

  // Linear below `floor`, a power of ten as high as the next above; so that 0 has a place.
  function symlog(floor) {
    return (value) => Math.sign(value) * Math.log10(1 + Math.abs(value) / floor);
  }

  function tenths(largest, floor) {
    const ticks = [0];
    for (let tick = floor; tick <= largest; tick *= 10) ticks.push(Number(tick.toPrecision(1)));
    return ticks;
  }

  function niceStep(range, wanted) {
    const rough = range / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  }

  // 1, 2, 5, 10, ... between two moments; on a narrow page every other would do as well.
  function timeTicks(first, last) {
    const ticks = [];
    for (let power = -3; power < 7; power += 1) {
      for (const factor of [1, 2, 5]) {
        const tick = Number((factor * 10 ** power).toPrecision(1));
        if (tick >= first && tick <= last) ticks.push(tick);
      }
    }
    return ticks.length > 1 ? ticks : [first, last];
  }

  function wholeTicks(count, wanted) {
    const step = Math.max(1, niceStep(Math.max(count, 1), wanted));
    const ticks = [];
    for (let tick = 0; tick < count; tick += step) ticks.push(tick);
    return ticks;
  }

  // ---- the tip: numbers on hover, on tap and by arrow keys ----
  function show(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(6, x + 14), window.innerWidth - box.width - 6);
    const top = y + 18 + box.height > window.innerHeight ? y - box.height - 12 : y + 18;
    tip.style.left = `${Math.max(6, left)}px`;
    tip.style.top = `${Math.max(6, top)}px`;
  }

  function hide() {
    tip.hidden = true;
  }

  // `find` takes a point in the drawing's own units and returns {text, mark}, or null.
  function onPoint(svg, find, step) {
    let mark = null;
    let at = null;
    function look(x, y, clientX, clientY) {
      if (mark) mark.remove();
      mark = null;
      const found = find(x, y);
      if (!found) return hide();
      at = found.at;
      mark = node(found.mark[0], found.mark[1], svg);
      return show(found.text, clientX, clientY);
    }
    function pointed(event) {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      look((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, event.clientX, event.clientY);
    }
    function left() {
      if (mark) mark.remove();
      mark = null;
      hide();
    }
    svg.addEventListener("pointermove", pointed);
    svg.addEventListener("pointerdown", pointed);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") left(); });
    svg.addEventListener("blur", left);
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return left();
      const to = step(at, event.key);
      if (!to) return undefined;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      const scale = box.width / svg.viewBox.baseVal.width;
      return look(to[0], to[1], box.left + to[0] * scale, box.top + to[1] * scale);
    });
  }

  const SIDEWAYS = { ArrowLeft: -1, ArrowRight: 1 };
  const UPRIGHT = { ArrowUp: -1, ArrowDown: 1 };
  const within = (value, count) => Math.min(Math.max(value, 0), count - 1);

  // ---- a plane with layers or seconds along it ----
  function plane(host, width, height, label, leftRoom) {
    const svg = canvas(host, width, height, label);
    const area = { left: leftRoom, right: width - 10, top: 22, bottom: height - 34 };
    node("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }, svg);
    return { svg, area };
  }

  function alongLayers(area) {
    const room = (area.right - area.left) / LAYERS;
    return { room, x: (i) => area.left + (i + 0.5) * room, index: (x) => within(Math.floor((x - area.left) / room), LAYERS) };
  }

  function layerAxis(svg, area, x) {
    const ticks = wholeTicks(LAYERS, area.right - area.left < 420 ? 6 : 12);
    for (const tick of ticks) words(svg, x(tick), area.bottom + 15, data.layerIds[tick], "middle");
    words(svg, (area.left + area.right) / 2, area.bottom + 31, "layer", "middle");
  }

  function heights(svg, area, ticks, y, text) {
    const taken = [];
    // 0 first, then the largest: where labels would touch the small ones give way.
    for (const tick of [...ticks].sort((a, b) => (a === 0 ? -1 : b === 0 ? 1 : Math.abs(b) - Math.abs(a)))) {
      const at = y(tick);
      if (taken.some((other) => Math.abs(other - at) < 13)) continue;
      taken.push(at);
      node("line", { class: "grid", x1: area.left, x2: area.right, y1: at, y2: at }, svg);
      words(svg, area.left - 6, at + 4, text(tick), "end");
    }
  }

  // ---- gap per layer and plan ----
  const MARKS = [
    "M-3 0A3 3 0 1 0 3 0A3 3 0 1 0-3 0Z", "M-2.7-2.7H2.7V2.7H-2.7Z", "M0-3.5L3.3 2.6H-3.3Z", "M0 3.5L3.3-2.6H-3.3Z",
    "M0-3.8L3.8 0L0 3.8L-3.8 0Z", "M-1-3.4H1V-1H3.4V1H1V3.4H-1V1H-3.4V-1H-1Z", "M-3.4-1.7L0 0L3.4-1.7V1.7L0 0L-3.4 1.7Z",
  ];
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 4"];
  const look = (i) => ({ colour: `k${i % 8}`, mark: MARKS[i % MARKS.length], dash: DASHES[i % DASHES.length] });
  const hidden = new Set();
  let printing = false;

  function drawGaps(host, width) {
    const floor = 1e-6;
    const scale = symlog(floor);
    const lines = data.gaps.map((line, i) => ({ ...line, i, name: line.names.join(", ") }));
    const known = lines.flatMap((line) => line.gap).filter((gap) => gap !== null);
    const largest = Math.max(floor * 10, ...known);
    host.replaceChildren();
    const box = host.appendChild(document.createElement("div"));
    const { svg, area } = plane(box, width, width < 500 ? 300 : 380, "Gap to the proven bound, layer by layer and plan by plan; the table of layers has the numbers.", 66);
    const top = scale(largest) * 1.03;
    const y = (gap) => area.bottom - ((area.bottom - area.top) * scale(gap)) / top;
    const { x, index } = alongLayers(area);
    words(svg, 0, 12, "above the proven bound");
    heights(svg, area, tenths(largest, floor), y, percent);
    layerAxis(svg, area, x);
    const shown = lines.filter((line) => !hidden.has(line.i));
    for (const line of [...shown].reverse()) drawLine(svg, line, x, y);
    onPoint(svg, (px) => {
      const i = index(px);
      const rows = [...shown].sort((a, b) => a.gap[i] - b.gap[i]).map((line) => `${percent(line.gap[i])}  ${line.name}`);
      return { at: i, text: [layerName(i), ...rows].join("\n"), mark: ["line", { class: "cursor", x1: x(i), x2: x(i), y1: area.top, y2: area.bottom }] };
    }, (at, key) => SIDEWAYS[key] && [x(within((at ?? -1) + SIDEWAYS[key], LAYERS)), area.top]);
    host.appendChild(legend(lines, () => drawGaps(host, width)));
  }

  function drawLine(svg, line, x, y) {
    const style = look(line.i);
    const known = line.gap.map((gap, i) => [i, gap]).filter(([, gap]) => gap !== null);
    const path = known.map(([i, gap], n) => `${n ? "L" : "M"}${x(i).toFixed(1)} ${y(gap).toFixed(1)}`).join("");
    const main = line.kind === "ours" ? " main" : "";
    node("path", { class: `series${main} ${style.colour}`, d: path, "stroke-dasharray": style.dash }, svg);
    for (const [i, gap] of known) node("path", { class: `mark ${style.colour}`, d: style.mark, transform: `translate(${x(i).toFixed(1)} ${y(gap).toFixed(1)})` }, svg);
  }

  function sample(host, style) {
    const svg = node("svg", { viewBox: "0 0 34 14", "aria-hidden": "true" }, host);
    node("path", { class: `series ${style.colour}`, d: "M1 7H33", "stroke-dasharray": style.dash }, svg);
    if (style.mark) node("path", { class: `mark ${style.colour}`, d: style.mark, transform: "translate(17 7)" }, svg);
  }

  function legend(lines, redraw) {
    const list = document.createElement("div");
    list.className = "legend";
    for (const line of lines) {
      const button = list.appendChild(document.createElement("button"));
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(line.i)));
      sample(button, look(line.i));
      button.append(line.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(line.i)) hidden.add(line.i);
        redraw();
      });
    }
    return list;
  }

  // ---- heat maps: an image a map, a pixel a cell ----
  const SHADES = ["00224e", "083370", "35456c", "4f576c", "666970", "7d7c78", "948e77", "aea371", "c8b866", "e5cf52", "fee838"]
    .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

  function shade(part) {
    const at = Math.min(Math.max(part, 0), 1) * (SHADES.length - 1);
    const low = Math.min(Math.floor(at), SHADES.length - 2);
    return SHADES[low].map((value, i) => Math.round(value + (SHADES[low + 1][i] - value) * (at - low)));
  }

  function imageOf(rows, part) {
    const made = document.createElement("canvas");
    made.width = rows[0].length;
    made.height = rows.length;
    const context = made.getContext("2d");
    const pixels = context.createImageData(made.width, made.height);
    rows.flat().forEach((value, i) => pixels.data.set([...shade(part(value)), 255], 4 * i));
    context.putImageData(pixels, 0, 0);
    return made.toDataURL();
  }

  function ends(rows) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of rows.flat()) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return [low, high];
  }

  const heat = (() => {
    const [low, high] = ends([...data.before.ratio, ...data.after.ratio]);
    return { low, high, part: (value) => (high > low ? (value - low) / (high - low) : 0.5) };
  })();

  function drawMap(host, width, plan, label) {
    const rows = plan.ratio;
    const [lines, columns] = [rows.length, rows[0].length];
    const area = { left: 30, top: 4, width: width - 34, height: Math.min(Math.max(lines * 6, 40), 620) };
    const svg = canvas(host, width, area.top + area.height + 36, label);
    node("image", { class: "image", x: area.left, y: area.top, width: area.width, height: area.height, preserveAspectRatio: "none", href: imageOf(rows, heat.part) }, svg);
    const [w, h] = [area.width / columns, area.height / lines];
    for (const tick of wholeTicks(columns, 6)) words(svg, area.left + (tick + 0.5) * w, area.top + area.height + 15, tick, "middle");
    for (const tick of wholeTicks(lines, 7)) words(svg, area.left - 5, area.top + (tick + 0.5) * h + 4, data.layerIds[tick], "end");
    words(svg, area.left + area.width / 2, area.top + area.height + 31, "GPU; layers downwards", "middle");
    const cell = (row, column) => [area.left + (column + 0.5) * w, area.top + (row + 0.5) * h];
    onPoint(svg, (px, py) => {
      const column = Math.floor((px - area.left) / w);
      const row = Math.floor((py - area.top) / h);
      if (column < 0 || row < 0 || column >= columns || row >= lines) return null;
      const ratio = rows[row][column];
      const load = data.mean ? `\nload ${digits(ratio * data.mean[row], 7)}` : "";
      const text = `${layerName(row)}, GPU ${column}\n${digits(ratio, 6)} of the mean${load}`;
      return { at: [row, column], text, mark: ["rect", { class: "cell-mark", x: area.left + column * w, y: area.top + row * h, width: w, height: h }] };
    }, (at, key) => step2(at, key, lines, columns, cell));
  }

  function step2(at, key, lines, columns, cell) {
    if (!(key in SIDEWAYS) && !(key in UPRIGHT)) return null;
    const [row, column] = at ?? [0, 0];
    return cell(within(row + (UPRIGHT[key] ?? 0), lines), within(column + (SIDEWAYS[key] ?? 0), columns));
  }

  function drawScale(host, width) {
    const svg = canvas(host, width, 44, `Scale from ${digits(heat.low, 4)} to ${digits(heat.high, 4)} of the mean.`);
    svg.removeAttribute("tabindex");
    const size = Math.min(width - 34, 420);
    const steps = [Array.from({ length: 64 }, (_, i) => i / 63)];
    node("image", { x: 30, y: 4, width: size, height: 14, preserveAspectRatio: "none", href: imageOf(steps, (value) => value) }, svg);
    words(svg, 30, 34, `${digits(heat.low, 4)} lightest`);
    words(svg, 30 + size, 34, `${digits(heat.high, 4)} heaviest`, "end");
    if (heat.low < 1 && heat.high > 1) {
      const one = size * heat.part(1);
      node("line", { class: "axis", x1: 30 + one, x2: 30 + one, y1: 1, y2: 21 }, svg);
      // Beside the labels at both ends there is room for a third one, or none.
      if (Math.min(one, size - one) > 110) words(svg, 30 + one, 34, "1", "middle");
    }
  }

  // ---- replicas of the hottest experts ----
  function drawReplicas(host, width) {
    const { expert, share, before, after } = data.hottest;
    const columns = expert[0].length;
    const [left, row] = [30, printing ? Math.min(14, 720 / LAYERS) : 14];
    const w = Math.min((width - left - 4) / columns, 44);
    const most = Math.max(2, ...after.flat());
    const svg = canvas(host, width, LAYERS * row + 40, "Replicas of the hottest experts, layer by layer.");
    after.forEach((counts, i) => counts.forEach((count, rank) => {
      const part = (count - 1) / (most - 1);
      const box = { x: left + rank * w, y: 4 + i * row, width: w - 1, height: row - 1 };
      node("rect", { ...box, fill: `rgb(${shade(part)})` }, svg);
      node("text", { class: `cell ${part > 0.55 ? "on-light" : "on-dark"}`, x: box.x + (w - 1) / 2, y: box.y + (row - 1) / 2 }, svg, count);
    }));
    for (const tick of wholeTicks(LAYERS, 12)) words(svg, left - 5, 4 + (tick + 0.5) * row + 4, data.layerIds[tick], "end");
    for (const tick of wholeTicks(columns, 8)) words(svg, left + (tick + 0.5) * w, LAYERS * row + 18, tick + 1, "middle");
    words(svg, left + (columns * w) / 2, LAYERS * row + 34, "rank by load; layers downwards", "middle");
    const cell = (i, rank) => [left + (rank + 0.5) * w, 4 + (i + 0.5) * row];
    onPoint(svg, (px, py) => {
      const rank = Math.floor((px - left) / w);
      const i = Math.floor((py - 4) / row);
      if (rank < 0 || i < 0 || rank >= columns || i >= LAYERS) return null;
      const text = `${layerName(i)}, expert ${expert[i][rank]} (rank ${rank + 1})\n${percent(share[i][rank])} of the layer's load\n${before[i][rank]} replicas before, ${after[i][rank]} after`;
      return { at: [i, rank], text, mark: ["rect", { class: "cell-mark", x: left + rank * w, y: 4 + i * row, width: w - 1, height: row - 1 }] };
    }, (at, key) => step2(at, key, LAYERS, columns, cell));
  }

  // ---- bound against incumbent over time ----
  function drawHistory(host, width) {
    const points = data.history;
    const best = points.length ? points[points.length - 1][2] : 0;
    if (!(best > 0)) {
      host.textContent = "There is no history of bounds to draw.";
      return;
    }
    const over = points.map(([seconds, objective, lower]) => [Math.max(seconds, 1e-3), objective / best - 1, lower / best - 1]);
    const [highest, lowest] = [Math.max(...over.map((p) => p[1]), 1e-6), Math.min(...over.map((p) => p[2]), 0)];
    const floor = 1e-6;
    const scale = symlog(floor);
    host.replaceChildren();
    const box = host.appendChild(document.createElement("div"));
    const { svg, area } = plane(box, width, width < 500 ? 280 : 320, "Best plan and proven bound over time.", 66);
    const [bottom, top] = [scale(lowest) * 1.05 - 0.05, scale(highest) * 1.05 + 0.05];
    const y = (value) => area.bottom - ((area.bottom - area.top) * (scale(value) - bottom)) / (top - bottom);
    const [first, last] = [Math.log10(over[0][0]), Math.log10(over[over.length - 1][0])];
    const x = (seconds) => area.left + ((area.right - area.left) * (Math.log10(seconds) - first)) / (last - first || 1);
    words(svg, 0, 12, "from the last bound");
    const below = tenths(-lowest, floor).slice(1).map((tick) => -tick).reverse();
    heights(svg, area, [...below, ...tenths(highest, floor)], y, percent);
    for (const tick of timeTicks(over[0][0], over[over.length - 1][0])) words(svg, x(tick), area.bottom + 15, `${digits(tick, 2)} s`, "middle");
    words(svg, (area.left + area.right) / 2, area.bottom + 31, "time since the call", "middle");
    const stairs = (k) => over.map((p, i) => `${i ? `H${x(p[0]).toFixed(1)}V` : `M${x(p[0]).toFixed(1)} `}${y(p[k]).toFixed(1)}`).join("");
    const back = [...over].reverse().map((p, i) => `${i ? `V${y(p[2]).toFixed(1)}H` : `V${y(p[2]).toFixed(1)}H`}${x(p[0]).toFixed(1)}`).join("");
    node("path", { class: "between", d: `${stairs(1)}${back}Z` }, svg);
    node("path", { class: "series main k0", d: stairs(1) }, svg);
    node("path", { class: "series main k1", d: stairs(2), "stroke-dasharray": "7 3" }, svg);
    const list = host.appendChild(document.createElement("div"));
    list.className = "legend";
    for (const [name, style] of [["best plan", { colour: "k0", dash: "" }], ["proven bound", { colour: "k1", dash: "7 3" }]]) {
      const entry = list.appendChild(document.createElement("span"));
      sample(entry, style);
      entry.append(name);
    }
    onPoint(svg, (px) => {
      let i = over.findIndex((p) => x(p[0]) > px);
      i = i < 0 ? over.length - 1 : Math.max(i - 1, 0);
      const [seconds, objective, lower] = points[i];
      const text = `after ${digits(seconds, 3)}\u00a0s\nbest plan ${digits(objective, 9)}\nproven bound ${digits(lower, 9)}\ngap ${percent(objective / lower - 1)}`;
      return { at: i, text, mark: ["line", { class: "cursor", x1: x(over[i][0]), x2: x(over[i][0]), y1: area.top, y2: area.bottom }] };
    }, (at, key) => SIDEWAYS[key] && [x(over[within((at ?? -1) + SIDEWAYS[key], over.length)][0]) + 0.01, area.top]);
  }

  // ---- moves ----
  function drawMoves(host, width) {
    const most = Math.max(1, ...data.moves);
    const { svg, area } = plane(host, width, 220, "Slots moved, layer by layer.", 44);
    const y = (value) => area.bottom - ((area.bottom - area.top) * value) / most;
    const { x, room, index } = alongLayers(area);
    const step = Math.max(1, niceStep(most, 4));
    words(svg, 0, 12, `slots of ${data.slots}`);
    heights(svg, area, Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step), y, (tick) => digits(tick, 6));
    layerAxis(svg, area, x);
    data.moves.forEach((moved, i) => node("rect", { class: "bar", x: x(i) - room * 0.4, width: room * 0.8, y: y(moved), height: area.bottom - y(moved) }, svg));
    onPoint(svg, (px) => {
      const i = index(px);
      return { at: i, text: `${layerName(i)}\n${data.moves[i]} of ${data.slots} slots moved`, mark: ["line", { class: "cursor", x1: x(i), x2: x(i), y1: area.top, y2: area.bottom }] };
    }, (at, key) => SIDEWAYS[key] && [x(within((at ?? -1) + SIDEWAYS[key], LAYERS)), area.top]);
  }

  // ---- all of them, at the width there is ----
  const charts = {
    gaps: drawGaps,
    "heat-before": (host, width) => drawMap(host, width, data.before, "GPU loads before, layer by layer."),
    "heat-after": (host, width) => drawMap(host, width, data.after, "GPU loads after, layer by layer."),
    "heat-scale": drawScale,
    replicas: drawReplicas,
    history: drawHistory,
    moves: drawMoves,
  };
  if (!data.moves) {
    delete charts.moves;
    document.getElementById("moves-section").remove();
  }
  const widths = new Map();

  function draw(id, width) {
    if (width < 40 || (widths.get(id) === width && !printing)) return;
    widths.set(id, width);
    charts[id](document.getElementById(id), width);
  }

  function drawAll(width) {
    for (const id in charts) draw(id, Math.round(width || document.getElementById(id).clientWidth));
  }

  // ---- tables say that they go on, and where ----
  const frames = [...document.querySelectorAll(".frame")];

  function hint(frame) {
    const box = frame.querySelector(".scroll");
    const more = frame.querySelector(".more");
    const wide = box.scrollWidth > box.clientWidth + 1;
    const tall = box.scrollHeight > box.clientHeight + 1;
    const parts = [];
    if (tall) parts.push(`down to the last of ${box.querySelectorAll("tbody tr").length} rows`);
    if (wide) parts.push(`sideways to the last of ${box.querySelectorAll("thead th").length} columns`);
    more.hidden = !parts.length;
    more.textContent = parts.length ? `This table scrolls ${parts.join(" and ")}.` : "";
    frame.classList.toggle("right", wide && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    frame.classList.toggle("down", tall && box.scrollTop + box.clientHeight < box.scrollHeight - 1);
    frame.style.setProperty("--hint", `${frame.clientHeight - box.offsetHeight}px`);
  }

  for (const frame of frames) {
    frame.querySelector(".scroll").addEventListener("scroll", () => hint(frame), { passive: true });
  }
  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", () => frames.forEach(hint));

  drawAll();
  frames.forEach(hint);
  new ResizeObserver(() => requestAnimationFrame(() => frames.forEach(hint))).observe(document.body);
  new ResizeObserver(() => requestAnimationFrame(() => drawAll())).observe(document.body);
  window.addEventListener("beforeprint", () => {
    hide();
    printing = true;
    for (const id in charts) draw(id, id.startsWith("heat-") && id !== "heat-scale" ? PRINT_WIDTH / 2 - 8 : PRINT_WIDTH);
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    widths.clear();
    drawAll();
  });
  window.addEventListener("scroll", hide, { passive: true });
})();
