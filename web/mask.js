// Masks: PNGs whose pixels are class ids. A browser gives their colours only, so the ids are read back by the palette.

import { fitted } from "./photos.js";

const EDGE = 256; // added to the id of a pixel on the border of its class

// `{width, height, pixels, colours}`: pixels are ids, plus EDGE on borders; colours are [r, g, b] by id.
export async function readMask(blob) {
  const colours = palette(new DataView(await blob.arrayBuffer()));
  const bitmap = await createImageBitmap(blob);
  const canvas = fitted(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false; // mixed colours would be no class
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  const ids = classIds(new Uint32Array(data.buffer), colours);
  return { width, height, colours, pixels: withEdges(ids, width, height) };
}

export const idAt = (mask, x, y) => mask.pixels[y * mask.width + x] % EDGE;

// `strength` from 0 to 1; borders are drawn in full.
export function paint(canvas, mask, hidden, strength) {
  canvas.width = mask.width;
  canvas.height = mask.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(mask.width, mask.height);
  const target = new Uint32Array(image.data.buffer);
  const paints = new Uint32Array(2 * EDGE);
  mask.colours.forEach((colour, id) => {
    if (hidden.has(id)) return;
    paints[id] = packed(colour, Math.round(255 * strength));
    paints[id + EDGE] = packed(colour, strength > 0 ? 255 : 0);
  });
  for (let i = 0; i < target.length; i++) target[i] = paints[mask.pixels[i]];
  context.putImageData(image, 0, 0);
}

// The PLTE chunk: three bytes per class, in the order of the ids.
function palette(view) {
  for (let at = 8; at + 8 < view.byteLength; ) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x504c5445) {
      return Array.from({ length: length / 3 }, (_, id) => [0, 1, 2].map((byte) => view.getUint8(at + 8 + 3 * id + byte)));
    }
    at += length + 12;
  }
  return [];
}

// Browsers that guard against fingerprinting shift colours a little: then the nearest one counts.
function classIds(colours32, colours) {
  const known = new Map(colours.map((colour, id) => [packed(colour, 255), id]).reverse());
  const ids = new Uint16Array(colours32.length);
  for (let i = 0, last, id; i < ids.length; i++) {
    if (colours32[i] !== last) {
      last = colours32[i];
      id = known.get(last);
      if (id === undefined) known.set(last, (id = nearest(last, colours)));
    }
    ids[i] = id;
  }
  return ids;
}

function nearest(packedColour, colours) {
  const there = [0, 8, 16].map((shift) => (packedColour >>> shift) & 255);
  const distances = colours.map((colour) => colour.reduce((sum, value, i) => sum + (value - there[i]) ** 2, 0));
  return distances.indexOf(Math.min(...distances));
}

function withEdges(ids, width, height) {
  const reach = Math.max(1, Math.round(Math.max(width, height) / 500)); // px
  const pixels = ids.slice();
  for (let y = 0, i = 0; y < height; y++) {
    const up = y >= reach ? -reach * width : 0;
    const down = y + reach < height ? reach * width : 0;
    for (let x = 0; x < width; x++, i++) {
      const id = ids[i];
      const left = x >= reach ? -reach : 0;
      const right = x + reach < width ? reach : 0;
      if (ids[i + up] !== id || ids[i + down] !== id || ids[i + left] !== id || ids[i + right] !== id) pixels[i] += EDGE;
    }
  }
  return pixels;
}

// As ImageData has it in memory: little-endian RGBA.
const packed = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
