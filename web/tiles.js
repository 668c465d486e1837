// The small pictures: recent photos, and samples to try.

import { element } from "./dom.js";
import { drawMask, drawPhoto, hiddenByDefault } from "./picture.js";
import { clock, foundIn, isEnded, now, stateOf } from "./words.js";

const WIDTH = 320; // px of a tile's canvas
const STRENGTH = 0.45;

export function sampleTile({ name, url }, pick) {
  const image = element("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
  return element("li", {}, element("button", { type: "button", "aria-label": `Segment the sample ${name}`, onclick: pick }, image));
}

// A list entry that belongs to `item`: `update()` after its state changed, `redraw()` after its pictures did.
export function recentTile(item, pick) {
  const photo = element("canvas", { class: "photo" });
  const mask = element("canvas", { class: "mask" });
  const caption = element("span", { class: "caption" });
  const detail = element("span", { class: "detail quiet" });
  const picture = element("span", { class: "thumb" }, photo, mask, element("progress", { max: 1, "aria-label": "Upload" }));
  const button = element("button", { type: "button", onclick: pick }, picture, caption, detail);
  const row = element("li", {}, button);

  function update() {
    row.dataset.state = item.problem ? "REFUSED" : (item.prediction?.state ?? "AWAITING_UPLOAD");
    caption.textContent = item.name;
    detail.textContent = summary(item);
    const progress = picture.querySelector("progress");
    progress.hidden = isEnded(item);
    if (item.sent === undefined) progress.removeAttribute("value");
    else progress.value = item.sent;
  }

  function redraw() {
    drawPhoto(photo, item, WIDTH);
    drawMask(mask, item, hiddenByDefault(), STRENGTH);
  }

  return { row, update, redraw, select: (selected) => button.setAttribute("aria-current", selected) };
}

function summary(item) {
  const { state, result, createTime } = item.prediction ?? {};
  if (state !== "SUCCEEDED") return isEnded(item) ? stateOf(item) : now(item);
  return `${clock(createTime)} · ${foundIn(result)}`;
}
