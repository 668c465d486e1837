// The way of a photo as a row of steps.

import { element } from "./dom.js";
import { STEPS, isEnded } from "./words.js";

const WORK = ["decoding", "batching", "segmenting", "storing"];
const ORDER = STEPS.map(([phase]) => phase);

export function showSteps(list, item) {
  const current = reached(item);
  const succeeded = item.prediction?.state === "SUCCEEDED";
  const rows = STEPS.map(([phase, label], place) => {
    const status = succeeded || place < current ? past(phase, item) : place === current ? present(item) : "ahead";
    return element(
      "li",
      { "data-status": status, "data-phase": phase, "aria-current": status === "current" && "step" },
      element("span", { class: "dot", "aria-hidden": "true" }),
      element("span", { class: "step" }, label),
    );
  });
  list.dataset.retrying = item.prediction?.phase === "retrying";
  list.replaceChildren(...rows);
}

// The furthest step that was seen; a retry stands where the last attempt stood.
function reached(item) {
  const seen = [...item.seen].map((phase) => ORDER.indexOf(phase)).filter((place) => place < ORDER.length - 1);
  return Math.max(0, ...seen);
}

function present(item) {
  return isEnded(item) ? "failed" : "current";
}

// Nobody waits for an instance that is awake, and a mask from the cache takes no work at all.
function past(phase, item) {
  const { timings, cache } = item.prediction ?? {};
  const woke = item.seen.has(phase) || timings?.coldStart;
  const needless = phase === "starting_instance" ? !woke : cache?.hit && WORK.includes(phase);
  return needless ? "skipped" : "past";
}
