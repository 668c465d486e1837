// What people read: names of things, sentences, numbers.

const LONG = 1000; // ms in line that are worth a word
const TRACE = 0.01; // of the photo's area

export const ENDED = ["SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED"];

export const STEPS = [
  ["waiting_for_upload", "Upload"],
  ["queued", "Queue"],
  ["starting_instance", "Wake"],
  ["decoding", "Decode"],
  ["batching", "Batch"],
  ["segmenting", "Segment"],
  ["storing", "Store"],
  ["done", "Done"],
];

const NOW = {
  waiting_for_upload: "Waiting for the photo.",
  queued: "In the queue.",
  starting_instance: "No instance is awake: one is starting now. Only the first photo waits for that.",
  retrying: "The last attempt did not finish. Trying again.",
  decoding: "Reading the photo.",
  batching: "Waiting for company: photos are segmented together.",
  segmenting: "The network is looking at it.",
  storing: "Storing the mask.",
  done: "",
};

const STATES = {
  SUCCEEDED: "Done",
  FAILED: "Failed",
  REJECTED: "Not accepted",
  CANCELLED: "Cancelled",
  EXPIRED: "Too late",
};

const ENDINGS = {
  FAILED: "Something went wrong with this photo.",
  REJECTED: "This photo cannot be segmented.",
  CANCELLED: "You cancelled this photo; nothing was kept of its mask.",
  EXPIRED: "The photo was not segmented before its deadline. Send it again.",
};

export const isEnded = (item) => Boolean(item.problem) || ENDED.includes(item.prediction?.state);

export function stateOf(item) {
  if (item.problem) return "Not sent";
  return STATES[item.prediction?.state] ?? "Working";
}

export function now(item) {
  if (item.problem) return item.problem;
  const { state, phase, error } = item.prediction ?? {};
  if (state in ENDINGS) return error?.message ?? ENDINGS[state];
  if (item.sent !== undefined) return `Uploading, ${percent(item.sent)}.`;
  return NOW[phase ?? "waiting_for_upload"];
}

export function facts({ input = {}, model }) {
  const parts = [
    input.width && `${input.width} × ${input.height}`,
    input.contentType?.replace("image/", "").toUpperCase(),
    input.sizeBytes && bytes(input.sizeBytes),
    model?.name && `model ${model.name} ${model.version}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

// Plain words about the cold start, or its absence.
export function paid({ timings, cache }) {
  if (cache?.hit) return "The same photo was segmented before: the mask came from the cache, and nothing had to run.";
  const network = timings.forward === undefined ? "" : ` The network itself took ${duration(timings.forward)}.`;
  if (timings.coldStart) {
    return `No instance was awake: this photo paid for a cold start of ${duration(timings.coldStart)}.${network}`;
  }
  if (timings.queued > LONG) {
    return `It waited ${duration(timings.queued)} in line and paid for no cold start of its own.${network}`;
  }
  return `An instance was awake: no cold start.${network}`;
}

// What was recognised, the largest first; traces are not worth a word.
export function foundIn({ classes }) {
  const found = classes.filter((one) => one.id !== 0 && one.fraction >= TRACE).sort((a, b) => b.fraction - a.fraction);
  return found.map((one) => `${one.name} ${percent(one.fraction)}`).join(", ") || "nothing recognised";
}

export function percent(fraction) {
  const value = fraction * 100;
  return value > 0 && value < 1 ? "< 1 %" : `${Math.round(value)} %`;
}

export function duration(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

export function bytes(count) {
  return count < 1 << 20 ? `${Math.ceil(count / 1024)} KiB` : `${(count / (1 << 20)).toFixed(1)} MiB`;
}

export const clock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export function listed(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
