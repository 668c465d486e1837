// What this browser remembers of a photo, by prediction id: its name, a small copy, the verdict given.
// The service gives masks back, not photos. Without storage (private windows) it lasts until the page is left.

const KEPT = 100; // photos
const memory = new Map();
const database = open().catch(() => undefined);

export async function recall(id) {
  const store = await opened("readonly");
  const kept = store && (await finished(store.get(id)));
  return kept ?? memory.get(id);
}

export async function remember(id, changes) {
  const entry = { id, time: Date.now(), ...(await recall(id)), ...changes };
  memory.set(id, entry);
  const store = await opened("readwrite");
  if (store) await finished(store.put(entry)).catch(() => {}); // a full disk must not stop the photo
}

// Forget the oldest.
export async function prune() {
  const store = await opened("readwrite");
  if (!store) return;
  const keys = await finished(store.index("time").getAllKeys());
  for (const key of keys.slice(0, -KEPT)) store.delete(key);
}

async function opened(mode) {
  return (await database)?.transaction("photos", mode).objectStore("photos");
}

function open() {
  const request = indexedDB.open("maskline", 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("photos", { keyPath: "id" }).createIndex("time", "time");
  };
  return finished(request);
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
