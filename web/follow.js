// Follow a prediction to its end: by its event stream, or by asking when too many streams are open already.

import { Refused, get, pause, watch } from "./api.js";
import { ENDED } from "./words.js";

const STREAMS = 3; // browsers open 6 connections to one server; uploads and masks need theirs
const ASK = 1000; // ms between two looks without a stream
let open = 0;

export async function follow(id, seen) {
  for (let last; !ENDED.includes(last?.state); ) {
    last = open < STREAMS ? await streamed(id, seen) : await asked(id, seen);
    if (!ENDED.includes(last?.state)) await pause(ASK);
  }
}

async function asked(id, seen) {
  const prediction = await get(id);
  seen(prediction);
  return prediction;
}

async function streamed(id, seen) {
  let last;
  open += 1;
  try {
    for await (const prediction of watch(id)) seen((last = prediction));
  } catch (error) {
    if (error instanceof Refused) throw error; // else: the stream broke, and is opened again
  } finally {
    open -= 1;
  }
  return last;
}
