// Files that people bring: are they photos, and how do they look?

import { bytes } from "./words.js";

const LONGEST = 1400; // px of what is drawn and remembered
const MOST = 20 * (1 << 20); // bytes

// The content type by the file's first bytes; a name may lie. Undefined: not a photo that is accepted.
async function typeOf(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (text.startsWith("\xff\xd8")) return "image/jpeg";
  if (text.startsWith("\x89PNG")) return "image/png";
  if (text.startsWith("RIFF") && text.endsWith("WEBP")) return "image/webp";
  return undefined;
}

// `{type}`, or `{refusal}`: a sentence that says why the file need not be sent.
export async function judge(file) {
  if (file.size === 0) return { refusal: "is empty." };
  if (file.size > MOST) return { refusal: `has ${bytes(file.size)}; at most 20 MiB are accepted.` };
  const type = await typeOf(file);
  return type ? { type } : { refusal: "is not a photo that can be segmented: only JPEG, PNG and WebP are." };
}

// Upright (EXIF) and small; undefined if the browser cannot decode it, which the service will find out, too.
export async function shrunk(blob) {
  const bitmap = await createImageBitmap(blob).catch(() => undefined);
  if (!bitmap) return undefined;
  const canvas = fitted(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // behind transparent parts
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? undefined), "image/jpeg", 0.86));
}

export function fitted(width, height, longest = LONGEST) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  return canvas;
}
