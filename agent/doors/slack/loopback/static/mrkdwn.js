// Slack's mrkdwn and Markdown as elements, never as HTML: text from outside stays text.
"use strict";

const EMOJI = {
  white_check_mark: "✅", x: "❌", warning: "⚠️", rotating_light: "🚨", eyes: "👀", bell: "🔔", mag: "🔍", tada: "🎉",
  hourglass: "⌛", hourglass_flowing_sand: "⏳", large_green_circle: "🟢", red_circle: "🔴", large_yellow_circle: "🟡",
  large_orange_circle: "🟠", large_blue_circle: "🔵", white_circle: "⚪", thumbsup: "👍", thumbsdown: "👎", "+1": "👍",
  "-1": "👎", bar_chart: "📊", chart_with_upwards_trend: "📈", page_facing_up: "📄", link: "🔗", lock: "🔒", wave: "👋",
  repeat: "🔁", no_entry: "⛔", stop_button: "⏹️", speech_balloon: "💬", robot_face: "🤖", snowflake: "❄️", clock3: "🕒",
};

function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") Object.entries(value).forEach(([event, call]) => made.addEventListener(event, call));
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function emoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (all, name) => EMOJI[name] || all);
}

function link(url, label) {
  const safe = /^(https?:|mailto:|tel:)/.test(url) ? url : null;
  return make("a", { href: safe, target: "_blank", rel: "noreferrer" }, label || url);
}

function control(inside, names) {
  const [target, label] = inside.split(/\|(.*)/s);
  if (target[0] === "@") return make("span", { class: "mention" }, "@" + (names.users[target.slice(1)] || label || target));
  if (target[0] === "#") return make("span", { class: "mention" }, "#" + (names.all_channels[target.slice(1)] || label || "channel"));
  if (target.startsWith("!date^")) {
    const [, seconds] = target.split("^");
    const time = new Date(Number(seconds) * 1000);
    return make("time", { datetime: time.toISOString(), title: label }, time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
  }
  if (target[0] === "!") return make("span", { class: "mention" }, "@" + target.slice(1));
  return link(unescaped(target), label ? unescaped(label) : undefined);
}

const MARKS = [["`", "code"], ["*", "b"], ["_", "i"], ["~", "s"]];

function spans(text, names) {
  const out = [];
  const pattern = /<([^<>]+)>|(`[^`\n]+`)|(?<![\p{L}\p{N}])(\*[^*\n]+\*|_[^_\n]+_|~[^~\n]+~)(?![\p{L}\p{N}])/gu;
  let last = 0;
  for (const found of text.matchAll(pattern)) {
    out.push(emoji(unescaped(text.slice(last, found.index))));
    last = found.index + found[0].length;
    if (found[1]) out.push(control(found[1], names));
    else {
      const mark = MARKS.find(([sign]) => found[0].startsWith(sign));
      const inner = found[0].slice(1, -1);
      out.push(make(mark[1], {}, mark[1] === "code" ? unescaped(inner) : spans(inner, names)));
    }
  }
  out.push(emoji(unescaped(text.slice(last))));
  return out;
}

function mrkdwn(text, names) {
  const made = make("div", { class: "text", dir: "auto" });
  text.split("```").forEach((part, number) => {
    if (number % 2) { made.append(make("pre", {}, unescaped(part.replace(/^\n|\n$/g, "")))); return; }
    let quote = null;
    part.replace(/^\n|\n$/g, "").split("\n").forEach((line) => {
      const quoted = /^(&gt;|>) ?/.exec(line);
      const row = make("div", { class: "line" }, spans(quoted ? line.slice(quoted[0].length) : line, names));
      if (!row.textContent) row.append(make("br"));
      if (quoted) { if (!quote) { quote = make("blockquote"); made.append(quote); } quote.append(row); } else { quote = null; made.append(row); }
    });
  });
  return made;
}

function inlineMarkdown(text) {
  const out = [];
  const pattern = /\[([^\]]+)\]\(([^)\s]+)\)|(`[^`]+`)|\*\*([^*]+)\*\*|(?<!\w)_([^_]+)_(?!\w)/g;
  let last = 0;
  for (const found of text.matchAll(pattern)) {
    out.push(emoji(text.slice(last, found.index)));
    last = found.index + found[0].length;
    if (found[1]) out.push(link(found[2], found[1]));
    else if (found[3]) out.push(make("code", {}, found[3].slice(1, -1)));
    else out.push(make(found[4] ? "b" : "i", {}, found[4] || found[5]));
  }
  out.push(emoji(text.slice(last)));
  return out;
}

function markdown(text) {
  const made = make("div", { class: "text", dir: "auto" });
  let list = null;
  for (const line of text.split("\n")) {
    const item = /^\s*(?:[-*]|(\d+)\.) (.*)/.exec(line);
    const title = /^#{1,6} (.*)/.exec(line);
    if (item) {
      const tag = item[1] ? "OL" : "UL";
      if (!list || list.tagName !== tag) { list = make(tag); made.append(list); }
      list.append(make("li", {}, inlineMarkdown(item[2])));
      continue;
    }
    list = null;
    made.append(title ? make("h4", {}, inlineMarkdown(title[1])) : make("div", { class: "line" }, line ? inlineMarkdown(line) : make("br")));
  }
  return made;
}
