// Block Kit as elements. `act(element, value)` is called when a person uses one.
"use strict";

function textOf(object, names) {
  if (!object) return "";
  return object.type === "mrkdwn" ? mrkdwn(object.text, names) : emoji(object.text);
}

function picture(block) {
  const address = block.slack_file ? "/file/" + (block.slack_file.id || "") : block.image_url;
  return make("img", { src: address, alt: block.alt_text });
}

function button(element, act, label) {
  const style = element.style || "";
  return make("button", { type: "button", class: "button " + style, "data-action": element.action_id, "aria-label": element.accessibility_label,
    on: { click: () => ask(element.confirm, () => { if (element.url) window.open(element.url, "_blank", "noreferrer"); act(element, element.value || ""); }) } }, label);
}

function element(item, act, names) {
  switch (item.type) {
    case "button": case "icon_button": return button(item, act, textOf(item.text, names));
    case "image": return picture(item);
    case "feedback_buttons": return make("span", { class: "feedback" }, ["positive_button", "negative_button"].map((key) =>
      make("button", { type: "button", class: "button small", "data-action": item.action_id, title: item[key].accessibility_label,
        on: { click: () => act(item, item[key].value) } }, textOf(item[key].text, names))));
    case "overflow": case "static_select": case "radio_buttons": {
      const options = item.options || (item.option_groups || []).flatMap((group) => group.options);
      const made = make("select", { "data-action": item.action_id, on: { change: () => { if (made.value) ask(item.confirm, () => act(item, made.value)); } } },
        make("option", { value: "" }, item.type === "overflow" ? "⋯" : textOf(item.placeholder, names) || "Choose…"),
        options.map((option) => make("option", { value: option.value, selected: item.initial_option && item.initial_option.value === option.value }, option.text.text)));
      return made;
    }
    default: return make("em", {}, item.type);
  }
}

function inputField(block, names) {
  const item = block.element;
  const known = { "data-block": block.block_id, "data-act": item.action_id, "data-kind": item.type, required: !block.optional };
  if (item.type === "static_select" || item.type === "radio_buttons") {
    return make("select", known, make("option", { value: "" }, "Choose…"), item.options.map((option) =>
      make("option", { value: option.value, selected: item.initial_option && item.initial_option.value === option.value }, option.text.text)));
  }
  if (item.type === "checkboxes") return make("div", known, item.options.map((option) =>
    make("label", { class: "check" }, make("input", { type: "checkbox", value: option.value }), option.text.text)));
  const kinds = { datepicker: "date", timepicker: "time", number_input: "number", email_text_input: "email", url_text_input: "url" };
  const shown = { ...known, placeholder: item.placeholder && item.placeholder.text, minlength: item.min_length, maxlength: item.max_length };
  if (item.multiline) return make("textarea", { ...shown, rows: 4 }, item.initial_value || "");
  return make("input", { ...shown, type: kinds[item.type] || "text", value: item.initial_value || item.initial_date });
}

function richText(parts, names) {
  return parts.map((part) => {
    if (part.elements && part.type !== "rich_text_section") {
      const tag = { rich_text_list: part.style === "ordered" ? "ol" : "ul", rich_text_preformatted: "pre", rich_text_quote: "blockquote" }[part.type];
      return make(tag, {}, part.type === "rich_text_list" ? part.elements.map((item) => make("li", {}, richText(item.elements, names))) : richText(part.elements, names));
    }
    if (part.elements) return make("div", {}, richText(part.elements, names));
    const plain = part.type === "link" ? link(part.url, part.text) : part.type === "user" ? control("@" + part.user_id, names)
      : part.type === "channel" ? control("#" + part.channel_id, names) : part.type === "emoji" ? EMOJI[part.name] || ":" + part.name + ":" : part.text || part.fallback || "";
    const style = part.style || {};
    const tag = style.code ? "code" : style.bold ? "b" : style.italic ? "i" : style.strike ? "s" : null;
    return tag ? make(tag, {}, plain) : plain;
  });
}

function block(item, act, names) {
  const acting = (used, value) => act(used, value);
  switch (item.type) {
    case "header": return make("h3", { class: "header", dir: "auto" }, textOf(item.text, names));
    case "divider": return make("hr");
    case "image": return make("figure", {}, item.title ? make("figcaption", {}, item.title.text) : null, picture(item));
    case "markdown": return markdown(item.text);
    case "rich_text": return make("div", { class: "text" }, richText(item.elements, names));
    case "section": return make("div", { class: "section" },
      make("div", { class: "body" }, item.text ? make("div", { dir: "auto" }, textOf(item.text, names)) : null,
        item.fields ? make("div", { class: "fields" }, item.fields.map((field) => make("div", { dir: "auto" }, textOf(field, names)))) : null),
      item.accessory ? make("div", { class: "accessory" }, element(item.accessory, acting, names)) : null);
    case "context": return make("div", { class: "context" }, item.elements.map((part) => part.type === "image" ? picture(part) : make("span", { dir: "auto" }, textOf(part, names))));
    case "actions": case "context_actions": return make("div", { class: item.type }, item.elements.map((part) => element(part, acting, names)));
    case "input": return make("div", { class: "input" }, make("label", {}, make("span", {}, item.label.text, item.optional ? make("small", {}, " (optional)") : null), inputField(item, names)),
      item.hint ? make("small", { class: "hint" }, item.hint.text) : null, make("small", { class: "wrong", "data-wrong": item.block_id }));
    case "table": return make("div", { class: "scroll" }, make("table", {}, item.rows.map((row, number) => make("tr", {}, row.map((cell, column) => {
      const align = ((item.column_settings || [])[column] || {}).align || "left";
      return make(number ? "td" : "th", { class: align }, cell.type === "rich_text" ? richText(cell.elements, names) : cell.text === undefined ? String(cell.value) : cell.text);
    })))));
    default: return make("em", {}, "[" + item.type + "]");
  }
}

function blocks(items, act, names) {
  return make("div", { class: "blocks" }, (items || []).map((item) => block(item, act, names)));
}

function ask(confirm, go) {
  if (!confirm) { go(); return; }
  const dialog = document.getElementById("confirm");
  const style = confirm.style || "primary";
  dialog.replaceChildren(make("h2", {}, confirm.title.text), make("p", {}, confirm.text.type === "mrkdwn" ? mrkdwn(confirm.text.text, { users: {}, all_channels: {} }) : confirm.text.text),
    make("footer", {}, make("button", { class: "button", on: { click: () => dialog.close() } }, confirm.deny.text),
      make("button", { class: "button " + style, "data-confirm": "yes", on: { click: () => { dialog.close(); go(); } } }, confirm.confirm.text)));
  dialog.showModal();
}
