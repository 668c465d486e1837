// The page: what was sent and is being sent (`items`), and what happens when something is brought, picked or heard.

import * as album from "./album.js";
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { follow } from "./follow.js";
import { judge, shrunk } from "./photos.js";
import { load } from "./picture.js";
import { recentTile, sampleTile } from "./tiles.js";
import * as viewer from "./viewer.js";
import { ENDED, clock, listed } from "./words.js";

const LOOK = 5000; // ms between two looks for photos that others sent
const UPLOADS = 2; // at once
const items = []; // {name, prediction?, seen, sent?, upload?, photo?, bitmap?, mask?, problem?, verdict?, tile}
const waiting = []; // uploads that wait for their turn
let uploading = 0;
let samples = [];
let selected;

function main() {
  viewer.start({ cancel, verdict });
  api.watchLink(showLink);
  listenForFiles();
  showSamples();
  showRecent();
  showModels();
  album.prune();
}

// Items

function add(item) {
  item.seen = new Set();
  item.tile = recentTile(item, () => select(item, true));
  items.unshift(item);
  byId("recent").prepend(item.tile.row);
  byId("nothing").hidden = true;
  changed(item);
  return item;
}

function changed(item) {
  item.tile.update();
  if (item === selected) viewer.update();
}

async function drawn(item) {
  try {
    if (!(await load(item))) return;
  } catch {
    return; // a picture that cannot be read leaves its place empty
  }
  item.tile.redraw();
  if (item === selected) viewer.redraw();
}

function select(item, reveal = false) {
  selected?.tile.select(false);
  selected = item;
  item.tile.select(true);
  viewer.show(item);
  if (item.prediction) history.replaceState(null, "", `#${item.prediction.id}`);
  if (reveal) byId("viewer").scrollIntoView({ block: "start" });
}

function heard(item, prediction) {
  item.prediction = prediction;
  item.seen.add(prediction.phase);
  changed(item);
  if (prediction.result) drawn(item);
}

function failed(item, error) {
  item.problem = error.message;
  item.sent = undefined;
  changed(item);
}

// Sending

async function bring(files) {
  let first = true;
  for (const file of files) {
    const { type, refusal } = await judge(file);
    if (refusal) {
      notify(`${file.name} ${refusal}`);
      continue;
    }
    const item = add({ name: file.name, sent: 0 });
    if (first) select(item, true);
    first = false;
    waiting.push(() => send(item, file, type));
    sendNext();
  }
}

async function sendNext() {
  if (uploading >= UPLOADS || !waiting.length) return;
  uploading += 1;
  await waiting.shift()();
  uploading -= 1;
  sendNext();
}

async function send(item, file, type) {
  try {
    preview(item, file);
    const announced = await api.announce(type, file.size, crypto.randomUUID());
    heard(item, { ...announced, phase: "waiting_for_upload" });
    if (item === selected) select(item);
    keep(item);
    const progress = (fraction) => {
      item.sent = fraction;
      changed(item);
    };
    item.upload = new AbortController();
    await api.upload(announced, file, progress, item.upload.signal);
    item.sent = undefined;
    changed(item);
    watch(item);
  } catch (error) {
    failed(item, error);
  }
}

async function preview(item, file) {
  item.photo = await shrunk(file);
  keep(item);
  drawn(item);
}

function keep(item) {
  if (item.prediction) album.remember(item.prediction.id, { name: item.name, photo: item.photo });
}

function watch(item) {
  return follow(item.prediction.id, (prediction) => heard(item, prediction)).catch((error) => failed(item, error));
}

async function cancel(item) {
  try {
    heard(item, await api.cancel(item.prediction.id));
    item.upload?.abort();
  } catch (error) {
    notify(error.message);
  }
}

async function verdict(item, word) {
  try {
    await api.feedback(item.prediction.id, crypto.randomUUID(), word);
    item.verdict = word;
    album.remember(item.prediction.id, { verdict: word });
    changed(item);
  } catch (error) {
    notify(error.message);
  }
}

// What is there already, and what others send

async function showRecent() {
  for (;;) {
    const predictions = await api.recent().catch(() => []);
    // While one of ours has no id yet, it could be among them and would be shown twice.
    const settled = items.every((item) => item.prediction || item.problem);
    if (settled) for (const prediction of predictions.reverse()) await found(prediction);
    if (!selected && items.length) select(items.find((item) => `#${item.prediction?.id}` === location.hash) ?? items[0]);
    await api.pause(LOOK);
    while (document.hidden) await api.pause(LOOK / 10);
  }
}

async function found(prediction) {
  if (items.some((item) => item.prediction?.id === prediction.id)) return;
  const { name, photo, verdict } = (await album.recall(prediction.id)) ?? {};
  const item = add({ name: name ?? `Photo of ${clock(prediction.createTime)}`, prediction, photo, verdict });
  heard(item, prediction);
  if (photo) drawn(item);
  const ended = ENDED.includes(prediction.state) ? Promise.resolve() : watch(item);
  if (!photo) ended.then(() => recogniseSample(item));
}

// A photo that another program sent is not in this browser, unless it is one of the samples.
async function recogniseSample(item) {
  const sample = samples.find((one) => one.sha256 === item.prediction.input.sha256);
  if (!sample) return;
  item.name = sample.name;
  changed(item);
  await preview(item, await api.bytesOf(sample.url));
}

// On the first start they are drawn one by one, while the page looks.
async function showSamples() {
  let known;
  do {
    known = samples.length;
    samples = await api.samples();
    byId("samples").replaceChildren(...samples.map((sample) => sampleTile(sample, () => pick(sample))));
    byId("no-samples").hidden = samples.length > 0;
    await api.pause(LOOK / 5);
  } while (samples.length === 0 || samples.length > known);
}

async function pick({ name, url }) {
  const blob = await api.bytesOf(url);
  bring([new File([blob], name)]);
}

// A model is known once its first instance has started.
async function showModels() {
  for (let names = []; !names.length; await api.pause(LOOK)) {
    const [model] = await api.models().catch(() => []);
    names = model?.classes.filter((one) => one.id !== 0).map((one) => one.name) ?? [];
    if (names.length) byId("knows").textContent = `A small network on this machine outlines every ${listed(names)}.`;
  }
}

// The page around them

function listenForFiles() {
  const input = byId("files");
  byId("choose").onclick = () => input.click();
  input.onchange = () => bring([...input.files]).then(() => (input.value = ""));
  document.onpaste = (event) => bring([...event.clipboardData.files]);
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  };
  document.ondragleave = (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  };
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    bring([...event.dataTransfer.files]);
  };
}

function notify(text) {
  const close = element("button", { type: "button", "aria-label": "Dismiss", onclick: () => notice.remove() }, "×");
  const notice = element("p", { class: "notice" }, element("span", {}, text), close);
  byId("notices").append(notice);
}

function showLink(up) {
  const link = byId("link");
  if (link.dataset.online === String(up)) return;
  link.dataset.online = up;
  link.textContent = up ? "Connected" : "The service does not answer. Trying again…";
}

main();
