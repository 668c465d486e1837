// One item's photo and mask, loaded once and drawn on as many canvases as are wanted.

import { bytesOf } from "./api.js";
import { paint, readMask } from "./mask.js";

export const BACKGROUND = 0; // the class that is not painted unless asked for

// Loads what is missing; returns whether something new is there to draw.
export async function load(item) {
  const { result } = item.prediction ?? {};
  const wanted = [];
  if (item.photo && !item.bitmap) wanted.push(loadPhoto(item));
  if (result && !item.mask) wanted.push(loadMask(item, result.maskUrl));
  return (await Promise.all(wanted)).length > 0;
}

async function loadPhoto(item) {
  item.bitmap = await createImageBitmap(item.photo);
}

async function loadMask(item, url) {
  const blob = await bytesOf(url);
  item.mask = await readMask(blob);
  item.maskFile = URL.createObjectURL(blob); // a signed link would be over in 15 minutes
}

export const hiddenByDefault = () => new Set([BACKGROUND]);

export function sizeOf(item) {
  const { width, height } = item.bitmap ?? item.mask ?? item.prediction?.input ?? {};
  return width ? { width, height } : { width: 4, height: 3 };
}

// The photo as a canvas of the given width shows it; without one, nothing.
export function drawPhoto(canvas, item, width) {
  const size = sizeOf(item);
  canvas.width = Math.min(width, size.width);
  canvas.height = Math.max(1, Math.round((canvas.width * size.height) / size.width));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (item.bitmap) context.drawImage(item.bitmap, 0, 0, canvas.width, canvas.height);
}

export function drawMask(canvas, item, hidden, strength) {
  if (item.mask) paint(canvas, item.mask, hidden, strength);
  else canvas.width = canvas.width; // clears it
}
