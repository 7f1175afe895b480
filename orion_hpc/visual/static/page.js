"use strict";
// Draws the data of an experiment. Texts of the data become text nodes only, never HTML.
(() => {
  const $ = (id) => document.getElementById(id);
  const ROW = 26; // pixels of a row of the table of trials
  const COLORS = ["#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#6cc5b0", "#ff8ab7",
    "#9c6b4e", "#97bbf5", "#9498a0"];
  const HEAT = [[239, 243, 255], [33, 113, 181]];
  const WARM = ["#c0392b", "#e67e22", "#f6c85f", "#8aa0b8"];
  const MOST_TABLE = 200; // rows of the tables beside charts

  let data = JSON.parse($("data").textContent);
  let byNumber = new Map();
  const drawn = [];

  function element(name, options = {}, ...children) {
    const found = document.createElement(name);
    for (const [key, value] of Object.entries(options)) {
      if (key in found && key !== "style") found[key] = value;
      else found.setAttribute(key, value);
    }
    found.append(...children);
    return found;
  }

  function short(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  function tick(value) {
    const size = Math.abs(value);
    if (size && (size >= 1e5 || size < 1e-3)) return Number(value.toPrecision(3)).toExponential().replace("e+", "e");
    return short(value);
  }

  const two = (number) => String(number).padStart(2, "0");
  function clock(seconds) {
    const d = new Date(seconds * 1000);
    return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
      `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  }

  function cell(column, value) {
    return value !== null && data.trials.times.includes(column) ? clock(value) : short(value);
  }

  function style(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // -- charts ---------------------------------------------------------------------------------

  function about(number) {
    const row = byNumber.get(number);
    if (!row) return `trial ${number}`;
    const columns = data.trials.columns;
    const lines = [`trial ${number}: ${row[columns.indexOf("status")]}`];
    columns.forEach((name, index) => {
      const isParam = data.trials.params.includes(name);
      const own = ["number", "status", "attempt", "worker", "cause", "message", "parent"];
      if (row[index] === null || own.includes(name) || data.trials.times.includes(name)) return;
      lines.push(isParam ? `${name}: ${short(row[index])}` : `${name} = ${short(row[index])}`);
    });
    return lines.join("\n");
  }

  function tip(text) {
    return element("div", {className: "tip", textContent: text});
  }

  function axisOption(axis, isX) {
    const line = style("--line"), faint = style("--faint");
    const common = {
      name: axis.label, nameLocation: "middle", nameGap: isX ? 26 : left(axis) - 18,
      nameTruncate: {maxWidth: isX ? 260 : 170},
      nameTextStyle: {color: faint}, axisLabel: {color: faint, hideOverlap: true},
      axisLine: {lineStyle: {color: line}}, splitLine: {lineStyle: {color: line, opacity: 0.5}},
    };
    if (axis.scale === "category") {
      return {...common, type: "category", data: axis.categories,
        axisLabel: {...common.axisLabel, width: 140, overflow: "truncate"}, splitLine: {show: false}};
    }
    return {...common, type: axis.scale === "log" ? "log" : "value", scale: true,
      axisLabel: {...common.axisLabel, formatter: tick}};
  }

  function mix(share) {
    const part = HEAT[0].map((low, index) => Math.round(low + (HEAT[1][index] - low) * share));
    return `rgb(${part.join(",")})`;
  }

  function edges(values, isLog, count) {
    // The borders of the cells around grid points.
    if (count) return [...values.map((_, index) => index - 0.5), values.length - 0.5];
    const at = values.map((one) => isLog ? Math.log(one) : one);
    const found = [];
    for (let index = 0; index <= at.length; index++) {
      const before = index > 0 ? at[index - 1] : at[0] - (at.length > 1 ? at[1] - at[0] : 1);
      const after = index < at.length ? at[index] : at[at.length - 1] + (at.length > 1 ? at[at.length - 1] - at[at.length - 2] : 1);
      found.push((before + after) / 2);
    }
    return isLog ? found.map(Math.exp) : found;
  }

  const KINDS = {
    points(series, color) {
      const low = Math.min(...series.colors), high = Math.max(...series.colors);
      return [{
        type: "scatter", name: series.name, symbolSize: series.x.length > 2000 ? 4 : 7,
        data: series.x.map((x, index) => ({
          value: [x, series.y[index]], trial: series.trials[index],
          ...(series.colors.length ? {itemStyle: {color: mix(0.15 + 0.85 * (high > low ? (series.colors[index] - low) / (high - low) : 1))}} : {}),
        })),
        itemStyle: {color, opacity: 0.85, borderColor: style("--line"), borderWidth: 0.5},
      }];
    },
    line(series, color) {
      const join = !series.name && series.x.length === 2 && !series.low.length;
      const found = [{
        type: "line", name: series.name, showSymbol: series.x.length < 2 || series.error.some(Boolean),
        step: series.kind === "steps" ? "end" : false, symbolSize: 5, silent: join,
        data: series.x.map((x, index) => [x, series.y[index]]),
        lineStyle: {color: join ? style("--line") : color, width: join ? 1 : 2}, itemStyle: {color},
      }];
      if (series.low.length) {
        found.push({
          type: "custom", silent: true, data: [[series.x[0], series.y[0]]],
          renderItem(params, api) {
            const at = (values) => series.x.map((x, index) => api.coord([x, values[index]]));
            return {type: "polygon", shape: {points: [...at(series.high), ...at(series.low).reverse()]},
              style: {fill: color, opacity: 0.18}};
          },
        });
      }
      return found;
    },
    bars(series, color) {
      const found = [{type: "bar", name: series.name, barMaxWidth: 60, itemStyle: {color},
        data: series.x.map((x, index) => [x, series.y[index]])}];
      if (series.error.some(Boolean)) {
        found.push({type: "custom", silent: true, z: 3,
          data: series.x.map((x, index) => [x, series.y[index], series.error[index]]),
          renderItem(params, api) {
            const [x, top] = api.coord([api.value(0), api.value(1) + api.value(2)]);
            const bottom = api.coord([api.value(0), api.value(1) - api.value(2)])[1];
            const stroke = {stroke: style("--text"), lineWidth: 1.5};
            return {type: "group", children: [[x, top, x, bottom], [x - 5, top, x + 5, top], [x - 5, bottom, x + 5, bottom]]
              .map(([x1, y1, x2, y2]) => ({type: "line", shape: {x1, y1, x2, y2}, style: stroke}))};
          }});
      }
      return found;
    },
    spans(series, color, panel) {
      return [{
        type: "custom", name: series.name, itemStyle: {color}, encode: {x: [0, 1], y: 2},
        data: series.x.map((x, index) => ({value: [x, series.until[index], panel.y.categories.indexOf(series.y[index])], trial: series.trials[index]})),
        renderItem(params, api) {
          const [left, y] = api.coord([api.value(0), api.value(2)]);
          const right = api.coord([api.value(1), api.value(2)])[0];
          const height = Math.min(22, api.size([0, 1])[1] * 0.7);
          return {type: "rect", shape: {x: left, y: y - height / 2, width: Math.max(1, right - left - 0.5), height}, style: {fill: color}};
        },
      }];
    },
    heat(series, color, panel) {
      const flat = series.z.flat(), low = Math.min(...flat), high = Math.max(...flat);
      const xs = edges(series.x, panel.x.scale === "log", panel.x.scale === "category");
      const ys = edges(series.y, panel.y.scale === "log", panel.y.scale === "category");
      const place = (axis, values, borders, index, api, isX) => {
        if (axis.scale !== "category") return api.coord(isX ? [borders[index], series.y[0]] : [series.x[0], borders[index]])[isX ? 0 : 1];
        const size = api.size([1, 1])[isX ? 0 : 1], at = Math.min(index, values.length - 1);
        const middle = api.coord(isX ? [values[at], series.y[0]] : [series.x[0], values[at]])[isX ? 0 : 1];
        return middle + (isX ? 1 : -1) * size * (index > at ? 0.5 : -0.5);
      };
      const cells = series.z.flatMap((row, r) => row.map((value, c) => ({value: [series.x[c], series.y[r], value, c, r], text: short(value)})));
      return [{type: "custom", silent: false, z: 1, clip: true, data: cells, encode: {x: 0, y: 1},
        renderItem(params, api) {
          const c = api.value(3), r = api.value(4);
          const x1 = place(panel.x, series.x, xs, c, api, true), x2 = place(panel.x, series.x, xs, c + 1, api, true);
          const y1 = place(panel.y, series.y, ys, r, api, false), y2 = place(panel.y, series.y, ys, r + 1, api, false);
          return {type: "rect", shape: {x: Math.min(x1, x2), y: Math.min(y1, y2), width: Math.abs(x2 - x1) + 0.5, height: Math.abs(y2 - y1) + 0.5},
            style: {fill: mix(high > low ? (api.value(2) - low) / (high - low) : 0.5)}};
        }}];
    },
  };
  KINDS.steps = KINDS.line;

  function left(axis) {
    // Room for the labels and the name of a vertical axis.
    const longest = axis.scale === "category" ? Math.max(0, ...axis.categories.map((one) => one.length)) : 5;
    return 34 + Math.min(140, 7 * longest);
  }

  function optionOf(panel) {
    const series = panel.series.flatMap((one, index) => KINDS[one.kind](one, COLORS[index % COLORS.length], panel));
    const names = panel.series.map((one) => one.name).filter(Boolean);
    return {
      animation: false, color: COLORS, textStyle: {color: style("--text")},
      aria: {enabled: true},
      grid: {left: left(panel.y), right: 18, top: names.length > 0 ? 34 : 14, bottom: 46},
      legend: names.length ? {data: names, top: 0, type: "scroll", textStyle: {color: style("--text")}} : undefined,
      tooltip: {trigger: "item", confine: true, backgroundColor: style("--panel"), borderColor: style("--line"),
        textStyle: {color: style("--text")},
        formatter: (hit) => tip(hit.data.trial !== undefined ? about(hit.data.trial)
          : hit.data.text !== undefined ? hit.data.text
          : `${hit.seriesName && !hit.seriesName.startsWith("series") ? hit.seriesName + "\n" : ""}${[].concat(hit.value).slice(0, 2).map(short).join(", ")}`)},
      xAxis: axisOption(panel.x, true), yAxis: axisOption(panel.y, false),
      dataZoom: panel.x.scale === "category" ? [] : [{type: "inside", filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseMove: "ctrl"}],
      series,
    };
  }

  function parallelOption(dimensions) {
    const last = dimensions[dimensions.length - 1].values;
    const faint = style("--faint");
    return {
      animation: false,
      parallel: {left: 60, right: 80, top: 50, bottom: 30, parallelAxisDefault: {nameTextStyle: {color: style("--text")}, axisLabel: {color: faint}, axisLine: {lineStyle: {color: faint}}, nameLocation: "end"}},
      parallelAxis: dimensions.map(({axis}, dim) => ({
        dim, name: axis.label, nameTruncate: {maxWidth: 120},
        ...(axis.scale === "category" ? {type: "category", data: axis.categories}
          : {type: axis.scale === "log" ? "log" : "value", scale: true, axisLabel: {color: faint, formatter: tick}}),
      })),
      visualMap: {show: false, dimension: dimensions.length - 1, min: Math.min(...last), max: Math.max(...last), inRange: {color: WARM}},
      series: [{type: "parallel", smooth: false, lineStyle: {width: 1.2, opacity: 0.5}, inactiveOpacity: 0.03, activeOpacity: 0.9,
        data: last.map((_, index) => dimensions.map((one) => one.values[index]))}],
    };
  }

  function tableOf(chart) {
    const table = element("table");
    const columns = chart.dimensions.length
      ? chart.dimensions.map((one) => [one.axis.label, one.values])
      : chart.panels.length === 1 ? chart.panels[0].series.flatMap((one) => [[`${one.name} ${chart.panels[0].x.label}`.trim(), one.x], [`${one.name} ${chart.panels[0].y.label}`.trim(), one.y]])
      : chart.panels.flatMap((panel) => panel.series.slice(0, 1).filter((one) => one.kind !== "heat").flatMap((one) => [[panel.x.label, one.x], [panel.y.label, one.y]]));
    const length = Math.min(MOST_TABLE, Math.max(0, ...columns.map(([, values]) => values.length)));
    table.append(element("thead", {}, element("tr", {}, ...columns.map(([name]) => element("th", {scope: "col", textContent: name})))));
    const body = element("tbody");
    for (let index = 0; index < length; index++) {
      body.append(element("tr", {}, ...columns.map(([, values]) => element("td", {textContent: index < values.length ? short(values[index]) : ""}))));
    }
    table.append(body);
    return table;
  }

  function draw(target, option) {
    const chart = echarts.init(target, null, {renderer: "canvas"});
    chart.setOption(option);
    drawn.push(chart);
  }

  function showCharts() {
    while (drawn.length) drawn.pop().dispose();
    const room = $("charts");
    const open = new Set([...room.querySelectorAll("details[open]")].map((one) => one.dataset.kind));
    const boxes = [];
    room.replaceChildren();
    for (const chart of data.charts) {
      const many = chart.panels.length > 1;
      const whole = chart.dimensions.length > 5 || chart.panels.length > 2 || chart.kind === "timeline";
      const figure = element("figure", {className: whole ? "whole" : ""}, element("figcaption", {textContent: chart.title}));
      figure.dataset.kind = chart.kind;
      const panels = element("div", {className: many ? "panels many" : "panels"});
      panels.style.gridTemplateColumns = `repeat(${Math.min(chart.columns, chart.panels.length || 1)}, minmax(0, 1fr))`;
      figure.append(panels);
      const details = element("details", {}, element("summary", {textContent: "Numbers"}));
      details.dataset.kind = chart.kind;
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) {
          details.append(element("div", {className: "wide"}, tableOf(chart)));
        }
      });
      figure.append(details);
      if (chart.note) figure.append(element("p", {className: "note", textContent: chart.note}));
      room.append(figure);
      const these = (chart.dimensions.length ? [null] : chart.panels).map((panel) => {
        const box = element("div", {className: "panel", role: "img", "aria-label": panel ? `${chart.title}: ${panel.y.label} over ${panel.x.label}` : chart.title});
        if (panel && panel.y.scale === "category") box.style.height = `${Math.max(10, Math.min(60, 5 + 1.7 * panel.y.categories.length))}rem`;
        panels.append(box);
        return [box, panel];
      });
      for (const [box, panel] of these) {
        if (panel && !panel.series.length) box.replaceWith(element("div", {className: "blank", "aria-hidden": "true"}));
        else boxes.push([box, panel ? () => optionOf(panel) : () => parallelOption(chart.dimensions)]);
      }
      if (open.has(chart.kind)) details.open = true;
    }
    // Only when all are there do they have their size.
    for (const [box, option] of boxes) draw(box, option());
  }

  // -- trials ---------------------------------------------------------------------------------

  const table = {sort: "number", reverse: false, rows: [], columns: []};

  function visibleColumns() {
    // Columns without any value say nothing.
    return data.trials.columns.filter((_, index) => data.trials.rows.some((row) => row[index] !== null));
  }

  function terms(text) {
    return text.trim().split(/\s+/).filter(Boolean).map((word) => {
      const match = /^([^<>=!]+)(<=|>=|!=|<|>|=)(.+)$/.exec(word);
      const column = match ? data.trials.columns.indexOf(match[1]) : -1;
      if (column < 0) {
        const low = word.toLowerCase();
        return (row) => row.some((value) => value !== null && String(value).toLowerCase().includes(low));
      }
      const number = Number(match[3]);
      return (row) => {
        const value = row[column];
        if (value === null) return false;
        const [left, right] = typeof value === "number" && !Number.isNaN(number) ? [value, number] : [String(value), match[3]];
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right, "=": left === right, "!=": left !== right}[match[2]];
      };
    });
  }

  function compare(one, other) {
    if (one === other) return 0;
    if (one === null) return 1;
    if (other === null) return -1;
    if (typeof one === "number" && typeof other === "number") return table.reverse ? other - one : one - other;
    return (String(one) < String(other) ? -1 : 1) * (table.reverse ? -1 : 1);
  }

  function arrange() {
    const tests = terms($("filter").value);
    const at = data.trials.columns.indexOf(table.sort);
    table.rows = data.trials.rows.filter((row) => tests.every((test) => test(row)));
    table.rows.sort((one, other) => compare(one[at], other[at]));
    $("count").textContent = `${table.rows.length.toLocaleString("en")} of ${data.trials.rows.length.toLocaleString("en")} trials`;
  }

  function head() {
    const row = element("tr");
    for (const name of table.columns) {
      const button = element("button", {type: "button", textContent: name + (name === table.sort ? (table.reverse ? " ▼" : " ▲") : "")});
      button.addEventListener("click", () => {
        table.reverse = name === table.sort && !table.reverse;
        table.sort = name;
        showTrials();
        $("trials").querySelectorAll("th button")[table.columns.indexOf(name)].focus();
      });
      row.append(element("th", {scope: "col", "aria-sort": name === table.sort ? (table.reverse ? "descending" : "ascending") : "none"}, button));
    }
    return element("thead", {}, row);
  }

  function rowOf(values, columns) {
    const row = element("tr");
    row.style.height = `${ROW}px`;
    for (const name of columns) {
      const value = values[data.trials.columns.indexOf(name)];
      const text = cell(name, value);
      row.append(element("td", {textContent: text.split("\n")[0], title: text.length > 40 ? text.slice(0, 2000) : "", className: value === "broken" ? "broken" : ""}));
    }
    return row;
  }

  function spacer(height) {
    const td = element("td", {colSpan: table.columns.length});
    const row = element("tr", {className: "spacer", "aria-hidden": "true"}, td);
    td.style.height = `${height}px`;
    return row;
  }

  // Only the rows that can be seen are there: ten thousand of them would take seconds.
  function fillBody() {
    const room = $("trials"), body = room.querySelector("tbody");
    const printing = matchMedia("print").matches; // then the first thousand
    const first = printing ? 0 : Math.max(0, Math.floor(room.scrollTop / ROW) - 10);
    const last = printing ? Math.min(table.rows.length, 1000) : Math.min(table.rows.length, first + Math.ceil(room.clientHeight / ROW) + 20);
    body.replaceChildren(spacer(first * ROW), ...table.rows.slice(first, last).map((row) => rowOf(row, table.columns)), spacer((table.rows.length - last) * ROW));
  }

  function showTrials() {
    table.columns = visibleColumns();
    arrange();
    $("trials").replaceChildren(element("table", {}, head(), element("tbody")));
    fillBody();
  }

  // -- the rest -------------------------------------------------------------------------------

  function showBest() {
    const columns = visibleColumns().filter((name) => !["attempt", "cause", "message", "parent", "submit_time", "start_time", "end_time", "worker"].includes(name));
    const rows = data.best.map((number) => byNumber.get(number)).filter(Boolean);
    if (!rows.length) {
      $("best").replaceChildren(element("p", {className: "note", textContent: "No trial is completed yet."}));
      return;
    }
    $("best").replaceChildren(element("table", {},
      element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", {scope: "col", textContent: name})))),
      element("tbody", {}, ...rows.map((row) => rowOf(row, columns)))));
  }

  function showHead() {
    document.title = data.title;
    $("title").textContent = data.title;
    const counts = Object.entries(data.counts).map(([name, count]) => `${count.toLocaleString("en")} ${name}`).join(", ");
    const of = data.max_trials === null ? "" : ` of ${data.max_trials.toLocaleString("en")}`;
    $("state").replaceChildren(element("b", {textContent: data.state, className: data.state}), ` · ${counts || "no trials"}${of && counts ? ` (max_trials ${of.slice(4)})` : ""}`);
    $("footer").textContent = `As of ${clock(Date.parse(data.time) / 1000)}, by orion-hpc.`;
  }

  function showInfo() {
    $("info").replaceChildren(...data.info.flatMap(([name, value]) => [element("dt", {textContent: name}), element("dd", {textContent: value})]));
    $("resources-section").hidden = !data.resources.length;
    $("resources").textContent = data.resources.join("\n");
  }

  function show() {
    const at = data.trials.columns.indexOf("number");
    byNumber = new Map(data.trials.rows.map((row) => [row[at], row]));
    showHead();
    showBest();
    showInfo();
    showTrials();
    showCharts();
  }

  function setTheme(name) {
    document.documentElement.dataset.theme = name;
    $("theme").textContent = name === "dark" ? "Light" : "Dark";
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(dark.matches ? "dark" : "light");
  $("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    showCharts();
  });
  $("trials").addEventListener("scroll", fillBody);
  $("filter").addEventListener("input", () => { $("trials").scrollTop = 0; showTrials(); });
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => drawn.forEach((one) => one.resize()), 100);
  });
  addEventListener("beforeprint", fillBody);
  addEventListener("afterprint", fillBody);
  show();
})();
