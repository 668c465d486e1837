// The HTTP API: sign in, announce, upload, read, watch. Whoever restarts is waited for.

const RETRY = [300, 600, 1200, 2000]; // ms before the 2nd, 3rd, … attempt, the last one again and again
const LONGEST = 60; // s: who is told to come back later than this is told so
const EARLY = 300_000; // ms before its end that a token is renewed

export class Refused extends Error {} // the service said no: trying again cannot help

let session;
let onLink = () => {};

export function watchLink(listener) {
  onLink = listener;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const announce = (contentType, sizeBytes, requestId) =>
  json("POST", "/v1/predictions", { contentType, sizeBytes, requestId });
export const get = (id) => json("GET", `/v1/predictions/${id}`);
export const recent = async () => (await json("GET", "/v1/predictions?pageSize=24")).predictions;
export const models = async () => (await json("GET", "/v1/models")).models;
export const cancel = (id) => json("POST", `/v1/predictions/${id}:cancel`);
export const feedback = (id, feedbackId, verdict) =>
  json("PUT", `/v1/predictions/${id}/feedback/${feedbackId}`, { verdict });
export const samples = async () => (await (await patiently(() => fetch("/samples/"))).json()).samples;

export async function bytesOf(url) {
  const answer = await patiently(() => fetch(here(url)));
  if (!answer.ok) throw await refusal(answer);
  return answer.blob();
}

// Events as they come, until the stream ends for whatever reason.
export async function* watch(id) {
  const answer = await patiently(() => authorised("GET", `/v1/predictions/${id}:watch`));
  if (!answer.ok) throw await refusal(answer);
  let text = "";
  for await (const chunk of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
    const events = (text + chunk).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

// XMLHttpRequest, because fetch does not tell how much was sent. `progress(fraction)`; `signal` ends it early.
export async function upload(announced, photo, progress, signal) {
  for (let attempt = 0; ; attempt++) {
    const status = await put(announced, photo, progress, signal);
    if (signal.aborted) return;
    onLink(status !== 0 && status !== 503);
    if ([200, 201, 412].includes(status)) return; // 412: an earlier attempt did arrive
    if (![0, 429, 502, 503].includes(status)) throw new Refused(`The upload was refused (${status}).`);
    await pause(RETRY[Math.min(attempt, RETRY.length - 1)]);
  }
}

function put({ uploadUrl, uploadHeaders }, photo, progress, signal) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    signal.onabort = () => request.abort();
    request.open("PUT", here(uploadUrl));
    for (const [name, value] of Object.entries(uploadHeaders)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onloadend = () => resolve(request.status);
    request.send(photo);
  });
}

async function json(method, path, body) {
  const answer = await patiently(() => authorised(method, path, body));
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}

async function authorised(method, path, body) {
  const answer = await send(method, path, body);
  if (answer.status !== 401) return answer;
  session = undefined; // the service has new keys
  return send(method, path, body);
}

async function send(method, path, body) {
  const headers = { authorization: `Bearer ${await token()}` };
  if (body) headers["content-type"] = "application/json";
  return fetch(path, { method, headers, body: body && JSON.stringify(body) });
}

async function token() {
  if (!session || Date.parse(session.expireTime) - Date.now() < EARLY) {
    const answer = await fetch("/v1/dev/session", { method: "POST" });
    if (!answer.ok) throw new TypeError("no session"); // as fetch fails: it is tried again
    session = await answer.json();
  }
  return session.token;
}

// Every request here may be repeated. fetch throws TypeError when nobody answers.
async function patiently(request) {
  for (let attempt = 0; ; attempt++) {
    const answer = await request().catch((error) => {
      if (!(error instanceof TypeError)) throw error;
    });
    const up = answer !== undefined && ![502, 503].includes(answer.status);
    onLink(up);
    const wish = (answer?.status === 429 && Number(answer.headers.get("retry-after"))) || 0; // s
    if (up && (answer.status !== 429 || wish > LONGEST)) return answer;
    await pause(Math.max(RETRY[Math.min(attempt, RETRY.length - 1)], 1000 * wish));
  }
}

async function refusal(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Refused(body.error?.message ?? `The service answered ${answer.status}.`);
}

async function* chunks(stream) {
  const reader = stream.getReader(); // Safari cannot iterate over the stream itself
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

// Signed URLs name 127.0.0.1, the page may have been opened as localhost: the same server, another origin.
function here(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname.startsWith("/storage/") ? pathname + search : url;
}
