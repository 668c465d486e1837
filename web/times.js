// Where a photo's time went: one bar, its legend, and a sentence about the cold start.

import { byId, element } from "./dom.js";
import { duration, paid } from "./words.js";

const NAMES = {
  waiting: "Waiting",
  coldStart: "Cold start",
  fetch: "Fetch",
  decode: "Decode",
  batchWait: "Batch wait",
  forward: "Network",
  encode: "Encode",
  store: "Store",
  other: "Between",
};

export function showTimes(prediction) {
  const spent = prediction.cache.hit ? [] : parts(prediction.timings);
  byId("total").textContent = prediction.timings.total === undefined ? "" : duration(prediction.timings.total);
  byId("paid").textContent = paid(prediction);
  byId("times").replaceChildren(...spent.map(segment));
  byId("stages").replaceChildren(...spent.flatMap(legend));
}

// `queued` runs until the claim, so it holds the cold start that the photo waited for.
function parts({ queued = 0, coldStart = 0, total = 0, ...work }) {
  const cold = Math.min(coldStart, queued);
  const worked = Object.values(work).reduce((sum, ms) => sum + ms, 0);
  const all = { ...work, waiting: queued - cold, coldStart: cold, other: total - queued - worked };
  return Object.keys(NAMES).flatMap((stage) => (all[stage] > 0.05 ? [[stage, all[stage]]] : []));
}

function segment([stage, ms]) {
  const made = element("span", { "data-stage": stage, title: `${NAMES[stage]} ${duration(ms)}` });
  made.style.flexGrow = ms;
  return made;
}

function legend([stage, ms]) {
  return [element("dt", { "data-stage": stage }, NAMES[stage]), element("dd", {}, duration(ms))];
}
