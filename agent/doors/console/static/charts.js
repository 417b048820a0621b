// Charts from data in the page: <figure data-chart="KIND" data-from="ID-of-a-json-script">. Kinds and their data:
//   series   {name, better, points: [[time, value, low, high, bound, status, n]], marks: [{at, text}], spans: [{start, end, text}]}
//   heat     {times, names, keys, cells: [[time, row, value, beyond]], measure}; a row opens data-open with its key
//   pair     {labels, then, now, names}             two distributions
//   bars     {names, now, then, labels, unit, signed, from, to} lying bars
//   whiskers {names, values: [[value, low, high]], metric, marked}
// Colours are the style sheet's, so that they follow light and dark. The policy of the page allows no inline style: so
// tooltips are drawn by the library, not written as HTML.
"use strict";
(() => {
  const drawn = new Map();
  const css = () => {
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(["ink", "soft", "line", "line-strong", "faint", "surface", "raised", "accent", "good", "bad", "warn", "bad-soft", "accent-soft"].map((n) => [n.replace("-", "_"), style.getPropertyValue(`--${n}`).trim()]));
  };
  const font = "Inter, system-ui, sans-serif";
  const short = (v) => v === null || v === undefined ? "–" : Math.abs(v) >= 1e9 || (v !== 0 && Math.abs(v) < 1e-6) ? Number(v).toExponential(1) : Math.abs(v) >= 1000 ? String(Math.round(v)).replace(/\B(?=(\d{3})+$)/g, "\u202f") : String(Number(Number(v).toPrecision(3)));
  const MONTH = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (n) => String(n).padStart(2, "0");
  const clock = (t) => { const at = new Date(t); return `${two(at.getHours())}:${two(at.getMinutes())}`; };
  const day = (t) => { const at = new Date(t); return `${at.getDate()} ${MONTH[at.getMonth()]}`; };
  const month = (t) => { const at = new Date(t); return `${MONTH[at.getMonth()]} ${at.getFullYear()}`; };
  const when = (t) => `${day(t)} ${new Date(t).getFullYear()}, ${clock(t)}`;
  const hour = (t) => clock(t) === "00:00" ? day(t) : clock(t);
  const span = (from, to) => (new Date(to) - new Date(from)) / 864e5;
  const scale = (from, to) => span(from, to) > 300 ? month : span(from, to) > 4 ? day : hour;
  const named = (from, to) => span(from, to) > 300 ? month : span(from, to) > 4 ? day : (t) => `${day(t)}\n${clock(t)}`;
  // The canvas knows no color-mix: a colour of the style sheet (#rrggbb), in part.
  const mixed = (colour, share) => `rgba(${[1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).join(",")},${share / 100})`;
  const over = (colour, ground, share) => `rgb(${[1, 3, 5].map((i) => Math.round((parseInt(colour.slice(i, i + 2), 16) * share + parseInt(ground.slice(i, i + 2), 16) * (100 - share)) / 100)).join(",")})`;

  function base(c) {
    return {
      animation: false, textStyle: { fontFamily: font, color: c.soft, fontSize: 11 },
      grid: { left: 8, right: 24, top: 22, bottom: 6, containLabel: true },
      tooltip: { renderMode: "richText", confine: true, backgroundColor: c.raised, borderColor: c.line_strong, borderWidth: 1, padding: [6, 9], textStyle: { color: c.ink, fontSize: 12, fontFamily: font }, extraCssText: "" },
    };
  }
  const axis = (c, more = {}) => ({ axisLine: { lineStyle: { color: c.line_strong } }, axisTick: { show: false }, axisLabel: { color: c.soft, fontSize: 11, hideOverlap: true }, splitLine: { lineStyle: { color: c.line } }, ...more });

  // Names of marks that stand close take turns in three rows, and stay within the chart at its edges.
  function marked(d) {
    const from = +new Date(d.points[0][0]), width = +new Date(d.points.at(-1)[0]) - from || 1, close = innerWidth < 600 ? 0.24 : 0.07;
    let last = -1, row = 0;
    return d.marks.map((m) => {
      const at = (+new Date(m.at) - from) / width;
      row = at - last < close ? (row + 1) % 3 : 0;
      last = at;
      return { xAxis: m.at, name: m.text, label: { distance: 3 + 12 * row, align: at > 0.96 ? "right" : at < 0.04 ? "left" : "center" } };
    });
  }

  const kinds = {
    series(d, c) {
      const marks = marked(d);
      const points = d.points, at = (i) => points.map((p) => [p[0], p[i]]);
      const banded = points.map((p) => p[2] !== null && p[3] !== null);
      const bad = (p) => p[5] === "breach";
      return { ...base(c), grid: { ...base(c).grid, top: 19 + Math.max(3, ...marks.map((m) => m.label.distance)) },
        xAxis: axis(c, { type: "time", splitLine: { show: false }, axisLabel: { color: c.soft, fontSize: 11, hideOverlap: true, formatter: scale(points[0][0], points.at(-1)[0]) } }),
        yAxis: axis(c, { type: "value", scale: true, splitNumber: 4, axisLine: { show: false }, axisLabel: { color: c.soft, formatter: short } }),
        dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
        tooltip: { ...base(c).tooltip, trigger: "axis", axisPointer: { lineStyle: { color: c.line_strong } }, formatter(found) {
          const p = points[found[0].dataIndex];
          const lines = [when(p[0]), `${d.name} ${p[1] === null ? "no data" : short(p[1])}${p[2] !== null && p[3] !== null ? `  (${short(p[2])} to ${short(p[3])})` : ""}`];
          if (p[4] !== null) lines.push(`bound ${short(p[4])}${bad(p) ? ", beyond it" : ""}`);
          if (p[6]) lines.push(`${p[6]} rows`);
          return lines.join("\n");
        } },
        series: [
          { type: "line", name: d.name, data: at(1), symbol: "circle", symbolSize: (v, q) => bad(points[q.dataIndex]) ? 6 : points.length < 40 ? 4 : 0, showSymbol: true, showAllSymbol: true, itemStyle: { color: (q) => bad(points[q.dataIndex]) ? c.bad : c.ink }, lineStyle: { color: c.ink, width: 1.6 }, connectNulls: false, z: 5,
            markLine: { symbol: "none", silent: true, animation: false, label: { color: c.accent, fontSize: 10, formatter: (q) => q.name, position: "end", distance: 3 }, lineStyle: { color: c.accent, type: [3, 3], width: 1.2 }, data: marks },
            markArea: { silent: true, itemStyle: { color: mixed(c.bad, 10) }, data: d.spans.map((s) => [{ xAxis: s.start }, { xAxis: s.end }]) } },
          { type: "custom", silent: true, z: 2, data: [[points[0][0], points.find((p) => p[1] !== null)[1]]], tooltip: { show: false }, renderItem(_, api) {
            const rings = [], run = [];
            const close = () => { if (run.length > 1) rings.push([...run.map((p) => api.coord([p[0], p[3]])), ...run.slice().reverse().map((p) => api.coord([p[0], p[2]]))]); run.length = 0; };
            points.forEach((p, i) => { if (banded[i]) run.push([+new Date(p[0]), null, p[2], p[3]]); else close(); });
            close();
            return { type: "group", children: rings.map((points) => ({ type: "polygon", shape: { points }, style: { fill: mixed(c.soft, 16) } })) };
          } },
          { type: "line", silent: true, symbol: "none", z: 3, step: "middle", data: at(4), lineStyle: { color: c.bad, width: 1.1, type: [4, 3] }, tooltip: { show: false } },
          { type: "line", silent: true, symbol: "none", data: points.flatMap((p, i) => banded[i] ? [[p[0], p[2]], [p[0], p[3]]] : []), lineStyle: { opacity: 0 }, tooltip: { show: false } },
        ] };
    },
    heat(d, c, node) {
      const top = Math.max(0.3, ...d.cells.map((x) => Math.min(x[2], 1)));
      node.querySelector(".canvas").style.height = `${Math.max(9, d.names.length * 1.25 + 4.5)}rem`;
      return { ...base(c), grid: { left: 8, right: 14, top: 6, bottom: 40, containLabel: true },
        xAxis: axis(c, { type: "category", data: d.times, splitLine: { show: false }, axisLabel: { color: c.soft, hideOverlap: true, lineHeight: 13, formatter: named(d.times[0], d.times.at(-1)) } }),
        yAxis: axis(c, { type: "category", data: d.names, inverse: true, triggerEvent: true, splitLine: { show: false }, axisLine: { show: false }, axisLabel: { color: c.ink, fontSize: 11, width: innerWidth < 600 ? 90 : 180, overflow: "truncate", interval: 0 } }),
        tooltip: { ...base(c).tooltip, formatter: (q) => `${d.names[q.value[1]]}\n${when(d.times[q.value[0]])}\n${d.measure} ${short(q.value[2])}${q.value[3] ? ", beyond its bound" : ""}` },
        visualMap: { hoverLink: false, min: 0, max: top, dimension: 2, calculable: false, orient: "horizontal", left: "right", bottom: 0, itemWidth: 9, itemHeight: 90, text: [short(top), `${d.measure} 0`], textStyle: { color: c.soft, fontSize: 10 }, inRange: { color: [c.faint, over(c.warn, c.surface, 45), over(c.bad, c.surface, 90)] } },
        series: [{ type: "heatmap", data: d.cells, itemStyle: { borderColor: c.surface, borderWidth: 1 }, emphasis: { itemStyle: { borderColor: c.ink } }, label: { show: d.times.length <= 70, formatter: (q) => q.value[3] ? "•" : "", color: c.surface, fontSize: 10 } }] };
    },
    pair(d, c) {
      return { ...base(c), legend: { top: 0, right: 0, itemWidth: 10, itemHeight: 8, textStyle: { color: c.soft, fontSize: 11 } }, grid: { left: 8, right: 8, top: 26, bottom: 6, containLabel: true },
        xAxis: axis(c, { type: "category", data: d.labels, splitLine: { show: false }, axisLabel: { color: c.soft, fontSize: 10, rotate: d.labels.length > 6 ? 40 : 0, hideOverlap: true } }),
        yAxis: axis(c, { type: "value", axisLine: { show: false }, axisLabel: { color: c.soft, formatter: (v) => `${short(100 * v)} %` } }),
        tooltip: { ...base(c).tooltip, trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: mixed(c.soft, 12) } }, formatter: (q) => [d.labels[q[0].dataIndex], ...q.map((s) => `${s.seriesName}: ${short(100 * s.value)} %`)].join("\n") },
        series: [{ type: "bar", name: d.names[0], data: d.then, itemStyle: { color: mixed(c.soft, 55) }, barGap: "0%", barCategoryGap: "25%" }, { type: "bar", name: d.names[1], data: d.now, itemStyle: { color: c.accent } }] };
    },
    bars(d, c, node) {
      const share = d.unit === "%", show = (v) => share ? `${short(100 * v)} %` : `${d.signed && v > 0 ? "+" : ""}${short(v)}`;
      node.querySelector(".canvas").style.height = `${Math.max(6, d.names.length * (d.then.length ? 1.75 : 1.4) + 3)}rem`;
      const colour = !d.signed ? c.accent : (q) => q.value >= 0 ? c.accent : c.warn;
      return { ...base(c), grid: { left: 8, right: 52, top: d.then.length ? 26 : 4, bottom: 8, containLabel: true }, legend: d.then.length ? { top: 0, right: 0, itemWidth: 10, itemHeight: 8, textStyle: { color: c.soft, fontSize: 11 } } : undefined,
        xAxis: axis(c, { type: "value", ...(d.from !== undefined ? { min: d.from, max: d.to, splitLine: { showMinLine: false, showMaxLine: false, lineStyle: { color: c.line } } } : {}), axisLine: { show: false }, splitNumber: 3, axisLabel: { color: c.soft, hideOverlap: true, showMinLabel: d.from === undefined, showMaxLabel: d.from === undefined, formatter: show } }),
        yAxis: axis(c, { type: "category", data: d.names, inverse: true, axisLine: { show: d.signed, onZero: true, lineStyle: { color: c.line_strong } }, axisLabel: { color: c.ink, fontSize: 11, width: innerWidth < 600 ? 90 : 150, overflow: "truncate", interval: 0 }, splitLine: { show: false } }),
        tooltip: { ...base(c).tooltip, trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: mixed(c.soft, 10) } }, formatter: (q) => [d.names[q[0].dataIndex], ...q.map((s) => `${s.seriesName || ""} ${show(s.value)}`.trim())].join("\n") },
        series: [{ type: "bar", name: d.labels?.[0] ?? "", data: d.now, itemStyle: { color: colour, borderRadius: 2 }, label: { show: !d.then.length, position: "right", color: c.soft, fontSize: 11, formatter: (q) => show(q.value) }, barMaxWidth: 14 },
          ...(d.then.length ? [{ type: "bar", name: d.labels[1], data: d.then, itemStyle: { color: mixed(c.soft, 50), borderRadius: 2 }, barMaxWidth: 14 }] : [])] };
    },
    whiskers(d, c, node) {
      node.querySelector(".canvas").style.height = `${Math.max(5.5, d.names.length * 1.9 + 3)}rem`;
      const tint = (i) => d.marked === i ? c.accent : c.soft;
      return { ...base(c), grid: { left: 8, right: 48, top: 4, bottom: 10, containLabel: true },
        xAxis: axis(c, { type: "value", scale: true, axisLine: { show: false }, splitNumber: 4, axisLabel: { color: c.soft, formatter: short } }),
        yAxis: axis(c, { type: "category", data: d.names, inverse: true, axisLine: { show: false }, axisLabel: { color: c.ink, fontSize: 11, width: innerWidth < 600 ? 90 : 170, overflow: "truncate" }, splitLine: { show: false } }),
        tooltip: { ...base(c).tooltip, formatter: (q) => { const v = d.values[q.dataIndex]; return `${d.names[q.dataIndex]}\n${d.metric} ${short(v[0])}${v[1] === null ? "" : `  (${short(v[1])} to ${short(v[2])})`}`; } },
        series: [{ type: "custom", data: d.values.map((v, i) => [v[0], i, v[1], v[2]]), encode: { x: [0, 2, 3], y: 1 }, renderItem(q, api) {
          const i = api.value(1), y = api.coord([api.value(0), i])[1], x = (n) => api.coord([api.value(n), i])[0];
          const line = Number.isFinite(api.value(2)) ? [{ type: "line", shape: { x1: x(2), x2: x(3), y1: y, y2: y }, style: { stroke: tint(i), lineWidth: 2 } }] : [];
          return { type: "group", children: [...line, { type: "circle", shape: { cx: x(0), cy: y, r: 4.5 }, style: { fill: tint(i) } }, { type: "text", x: Math.max(x(0), Number.isFinite(api.value(3)) ? x(3) : 0) + 8, y, style: { text: short(api.value(0)), fill: c.soft, font: `11px ${font}`, verticalAlign: "middle" } }] };
        } }] };
    },
  };

  const tables = {
    series: (d) => [["time", d.name, "from", "to", "bound", "rows"], d.points.map((p) => [when(p[0]), short(p[1]), short(p[2]), short(p[3]), short(p[4]), p[6] ?? "–"])],
    heat: (d) => [["column", "time", d.measure, "beyond"], d.cells.filter((x) => x[0] === d.times.length - 1).map((x) => [d.names[x[1]], when(d.times[x[0]]), short(x[2]), x[3] ? "yes" : "no"])],
    pair: (d) => [["value", ...d.names], d.labels.map((l, i) => [l, `${short(100 * d.then[i])} %`, `${short(100 * d.now[i])} %`])],
    bars: (d) => [["feature", d.labels?.[0] ?? "value", ...(d.then.length ? [d.labels[1]] : [])], d.names.map((n, i) => [n, short(d.now[i]), ...(d.then.length ? [short(d.then[i])] : [])])],
    whiskers: (d) => [["", d.metric, "from", "to"], d.names.map((n, i) => [n, ...d.values[i].map(short)])],
  };
  function numbers(node, kind, data) {
    if (node.querySelector(".numbers")) return;
    const box = document.createElement("details");
    box.className = "numbers";
    const summary = document.createElement("summary");
    summary.textContent = "The numbers";
    box.append(summary);
    box.addEventListener("toggle", () => {
      if (!box.open || box.querySelector("table")) return;
      const [head, rows] = tables[kind](data);
      const table = document.createElement("table");
      table.className = "table";
      const line = (cells, tag, to) => { const tr = to.insertRow(); for (const text of cells) { const cell = document.createElement(tag); if (tag === "th") cell.scope = "col"; cell.textContent = text; tr.append(cell); } };
      line(head, "th", table.createTHead());
      const body = table.createTBody();
      for (const row of rows) line(row, "td", body);
      const scroll = document.createElement("div");
      scroll.className = "scroll";
      scroll.tabIndex = 0;
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", "The numbers of this chart");
      scroll.append(table);
      box.append(scroll);
    });
    node.append(box);
  }

  function draw(node) {
    const kind = node.dataset.chart, canvas = node.querySelector(".canvas"), source = document.getElementById(node.dataset.from);
    if (!kinds[kind] || !canvas || !source || !window.echarts) return;
    const data = JSON.parse(source.textContent), old = drawn.get(node);
    const option = kinds[kind](data, css(), node);
    old?.dispose();
    const chart = echarts.init(canvas, null, { renderer: "canvas" });
    chart.setOption(option);
    drawn.set(node, chart);
    numbers(node, kind, data);
    if (kind === "heat" && node.dataset.open) {
      chart.on("click", (q) => {
        const row = q.componentType === "yAxis" ? data.names.indexOf(q.value) : q.value?.[1];
        if (row === undefined || row < 0) return;
        const at = q.componentType === "yAxis" ? "" : data.times[q.value[0]];
        const form = document.getElementById(node.dataset.open);
        form.elements.of.value = data.keys[row];
        if (form.elements.at) form.elements.at.value = at;
        form.requestSubmit();
      });
    }
  }
  const wide = new ResizeObserver((all) => { for (const one of all) drawn.get(one.target.closest("[data-chart]"))?.resize(); });
  function all(root) {
    for (const [node, chart] of drawn) if (!node.isConnected) { chart.dispose(); drawn.delete(node); }
    const found = [...(root.querySelectorAll?.("[data-chart]") ?? [])];
    if (root.matches?.("[data-chart]")) found.push(root);
    for (const node of found) { if (drawn.has(node)) continue; draw(node); wide.observe(node.querySelector(".canvas")); }
  }
  document.addEventListener("DOMContentLoaded", () => document.fonts.ready.then(() => all(document)));
  document.addEventListener("htmx:load", (event) => all(event.detail.elt));
  document.addEventListener("part:put", (event) => all(event.target));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const node of [...drawn.keys()]) draw(node); });
})();
