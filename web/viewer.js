// The large view of one photo: how far it is, what was found, where the time went.

import { byId, element } from "./dom.js";
import { idAt } from "./mask.js";
import { BACKGROUND, drawMask, drawPhoto, hiddenByDefault, sizeOf } from "./picture.js";
import { showSteps } from "./steps.js";
import { showTimes } from "./times.js";
import * as words from "./words.js";

const WIDTH = 1400; // px of the photo's canvas
let item; // the one that is shown
let hidden = hiddenByDefault();

// `actions`: {cancel(item), verdict(item, verdict)}
export function start(actions) {
  byId("cancel").onclick = () => actions.cancel(item);
  byId("strength").oninput = () => requestAnimationFrame(repaint);
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.onclick = () => actions.verdict(item, button.dataset.verdict);
  }
  byId("frame").onpointermove = point;
  byId("frame").onpointerdown = point;
  byId("frame").onpointerleave = () => (byId("tip").hidden = true);
}

export function show(next) {
  if (item !== next) hidden = hiddenByDefault();
  item = next;
  update();
  redraw();
}

// After its state changed.
export function update() {
  const viewer = byId("viewer");
  const succeeded = item.prediction?.state === "SUCCEEDED";
  viewer.hidden = false;
  viewer.dataset.state = item.problem ? "REFUSED" : (item.prediction?.state ?? "AWAITING_UPLOAD");
  viewer.dataset.id = item.prediction?.id ?? "";
  byId("name").textContent = item.name;
  byId("facts").textContent = item.prediction ? words.facts(item.prediction) : "";
  byId("state").textContent = words.stateOf(item);
  say(byId("now"), words.now(item));
  byId("cancel").hidden = words.isEnded(item) || !item.prediction;
  byId("panel").hidden = !succeeded;
  byId("pending").hidden = words.isEnded(item);
  showSteps(byId("steps"), item);
  if (succeeded) showResult();
}

// After its photo or mask arrived.
export function redraw() {
  const size = sizeOf(item);
  byId("body").hidden = !item.bitmap && !item.mask;
  byId("frame").style.setProperty("--ratio", size.width / size.height);
  byId("frame").dataset.masked = Boolean(item.mask);
  drawPhoto(byId("photo"), item, WIDTH);
  byId("download").href = item.maskFile ?? "#";
  repaint();
  if (item.prediction?.state === "SUCCEEDED") showClasses();
}

function repaint() {
  drawMask(byId("mask"), item, hidden, byId("strength").value / 100);
}

function showResult() {
  const { id, result } = item.prediction;
  byId("frame").setAttribute("aria-label", `${item.name}: ${words.foundIn(result)}`);
  byId("download").download = `${id}.png`;
  showTimes(item.prediction);
  showClasses();
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", button.dataset.verdict === item.verdict);
  }
  say(byId("thanks"), item.verdict ? "Thank you, noted." : "");
}

function showClasses() {
  const behind = (one) => one.id === BACKGROUND;
  const classes = [...item.prediction.result.classes].sort((a, b) => behind(a) - behind(b) || b.fraction - a.fraction);
  const focused = document.activeElement?.dataset?.class;
  byId("classes").replaceChildren(...classes.map(classRow));
  byId("classes").querySelector(`[data-class="${focused}"]`)?.focus();
}

function classRow({ id, name, fraction }) {
  const toggle = element("input", { type: "checkbox", "data-class": id, checked: !hidden.has(id) && "" });
  toggle.onchange = () => {
    hidden[toggle.checked ? "delete" : "add"](id);
    repaint();
  };
  const bar = element("span", { class: "amount" });
  bar.style.setProperty("--fraction", fraction);
  const row = element(
    "li",
    {},
    element("label", {}, toggle, element("span", { class: "swatch" }), element("span", { class: "class" }, name)),
    element("span", { class: "share" }, words.percent(fraction)),
    bar,
  );
  const colour = item.mask?.colours[id];
  if (colour && id !== BACKGROUND) row.style.setProperty("--colour", `rgb(${colour})`);
  return row;
}

// The name of what is under the pointer.
function point(event) {
  const tip = byId("tip");
  tip.hidden = !item.mask;
  if (!item.mask) return;
  const box = byId("frame").getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const column = Math.min(item.mask.width - 1, Math.max(0, Math.floor((x / box.width) * item.mask.width)));
  const line = Math.min(item.mask.height - 1, Math.max(0, Math.floor((y / box.height) * item.mask.height)));
  const id = idAt(item.mask, column, line);
  tip.textContent = item.prediction.result.classes.find((one) => one.id === id)?.name ?? "";
  tip.style.setProperty("--colour", `rgb(${item.mask.colours[id]})`);
  tip.style.transform = `translate(${Math.min(x + 14, box.width - tip.offsetWidth - 4)}px, ${Math.max(4, y - 34)}px)`;
}

// Only when it changes: screen readers speak every write.
function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
