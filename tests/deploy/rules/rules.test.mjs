// What firestore.rules allow and deny, asked through the official web SDK. Each test's name is a test of test_rules.py,
// which had our own API write the documents: predictions of `ana` (`SEEDED` has their ids), feedback on the first, a model,
// and a document in every collection that only servers use (`INTERNAL`).
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { assertFails, assertSucceeds, initializeTestEnvironment } from "@firebase/rules-unit-testing";
import {
  collection,
  collectionGroup,
  deleteDoc,
  doc,
  getCountFromServer,
  getDoc,
  getDocs,
  onSnapshot,
  orderBy,
  query,
  runTransaction,
  setDoc,
  setLogLevel,
  updateDoc,
  where,
  writeBatch,
} from "firebase/firestore";

const { FIRESTORE, PROJECT } = process.env;
const seeded = JSON.parse(process.env.SEEDED);
const internal = process.env.INTERNAL.split(" ");
const [host, port] = FIRESTORE.split(":");
const rules = readFileSync(process.env.RULES, "utf8");
const PATIENCE = 20_000; // ms

let environment, ana, bob, nobody;

before(async () => {
  setLogLevel("silent"); // a denied listener is what we ask for
  environment = await initializeTestEnvironment({ projectId: PROJECT, firestore: { host, port: Number(port), rules } });
  ana = environment.authenticatedContext("ana").firestore();
  bob = environment.authenticatedContext("bob").firestore();
  nobody = environment.unauthenticatedContext().firestore();
});

after(() => environment.cleanup());

const prediction = (database, name) => doc(database, "predictions", seeded[name] ?? name);
const feedback = (database) => collection(prediction(database, "done"), "feedback");
const given = (database) => doc(feedback(database), seeded.feedback);
const owned = (database, uid) =>
  query(collection(database, "predictions"), where("ownerUid", "==", uid), where("deleted", "==", false));

// The snapshots and the error of a listener, as they come.
function listen(target) {
  const heard = { snapshots: [], error: null };
  heard.stop = onSnapshot(target, (snapshot) => heard.snapshots.push(snapshot), (error) => (heard.error = error));
  return heard;
}

async function until(condition, what) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await new Promise((wake) => setTimeout(wake, 10)))
    if (condition()) return;
  assert.fail(`not within ${PATIENCE} ms: ${what}`);
}

async function heardDenial(target) {
  const heard = listen(target);
  await until(() => heard.error, "the listener's end");
  assert.equal(heard.error.code, "permission-denied");
  assert.equal(heard.snapshots.length, 0);
}

const asServer = (write) => environment.withSecurityRulesDisabled((context) => write(context.firestore()));

// -- predictions: one document

test("the owner gets a prediction", async () => {
  const found = await assertSucceeds(getDoc(prediction(ana, "done")));
  assert.equal(found.data().state, "SUCCEEDED");
});

test("another user does not get it", () => assertFails(getDoc(prediction(bob, "done"))));

test("nobody gets it without signing in", () => assertFails(getDoc(prediction(nobody, "done"))));

test("a deleted prediction is gone for its owner", () => assertFails(getDoc(prediction(ana, "deleted"))));

test("whether somebody has a prediction of that name is not told", () => assertFails(getDoc(prediction(ana, "none"))));

// -- predictions: lists

test("the owner lists predictions that are not deleted", async () => {
  const found = await assertSucceeds(getDocs(query(owned(ana, "ana"), orderBy("createTime", "desc"))));
  const names = found.docs.map((one) => one.id);
  assert.ok(names.includes(seeded.done) && names.includes(seeded.running) && !names.includes(seeded.deleted));
});

test("the owner counts them", async () => {
  const [count, found] = [await assertSucceeds(getCountFromServer(owned(ana, "ana"))), await getDocs(owned(ana, "ana"))];
  assert.equal(count.data().count, found.size);
});

test("a list of another user's is denied", () => assertFails(getDocs(owned(bob, "ana"))));

test("a list without signing in is denied", () => assertFails(getDocs(owned(nobody, "ana"))));

test("a list of everybody's is denied", () => assertFails(getDocs(collection(ana, "predictions"))));

test("a list that asks for deleted ones, too, is denied", () =>
  assertFails(getDocs(query(collection(ana, "predictions"), where("ownerUid", "==", "ana")))));

test("a list by state alone is denied", () =>
  assertFails(getDocs(query(collection(ana, "predictions"), where("state", "==", "SUCCEEDED")))));

test("a list of two users is denied to one of them", () =>
  assertFails(
    getDocs(
      query(
        collection(ana, "predictions"),
        where("ownerUid", "in", ["ana", "bob"]),
        where("deleted", "==", false),
      ),
    ),
  ));

test("predictions are no collection group", () =>
  assertFails(
    getDocs(query(collectionGroup(ana, "predictions"), where("ownerUid", "==", "ana"), where("deleted", "==", false))),
  ));

// -- predictions: listeners

test("the owner hears of changes", async () => {
  const heard = listen(prediction(ana, "running"));
  await until(() => heard.snapshots.length === 1, "the first snapshot");
  await asServer((database) => updateDoc(prediction(database, "running"), { phase: "storing" }));
  await until(() => heard.snapshots.at(-1).data().phase === "storing", "the change");
  heard.stop();
});

test("the owner hears no more once it is deleted", async () => {
  const heard = listen(prediction(ana, "leaving"));
  await until(() => heard.snapshots.length === 1, "the first snapshot");
  await asServer((database) => updateDoc(prediction(database, "leaving"), { deleted: true }));
  await until(() => heard.error, "the listener's end");
  assert.equal(heard.error.code, "permission-denied");
  assert.ok(heard.snapshots.every((one) => one.data().deleted === false));
});

test("the owner listens to the list", async () => {
  const heard = listen(owned(ana, "ana"));
  await until(() => heard.snapshots.length, "the first snapshot");
  heard.stop();
  assert.equal(heard.error, null);
});

test("another user cannot listen to it", () => heardDenial(prediction(bob, "done")));

test("nobody listens without signing in", () => heardDenial(prediction(nobody, "done")));

test("nobody listens to everybody's", () => heardDenial(collection(bob, "predictions")));

// -- predictions: writes

test("the owner cannot make one", () =>
  assertFails(setDoc(prediction(ana, "new"), { ownerUid: "ana", deleted: false, state: "SUCCEEDED" })));

test("the owner cannot change one", () => assertFails(updateDoc(prediction(ana, "done"), { state: "QUEUED" })));

test("the owner cannot give one away", () => assertFails(updateDoc(prediction(ana, "done"), { ownerUid: "bob" })));

test("another user cannot take one", () => assertFails(updateDoc(prediction(bob, "done"), { ownerUid: "bob" })));

test("the owner cannot bring a deleted one back", () =>
  assertFails(updateDoc(prediction(ana, "deleted"), { deleted: false })));

test("the owner cannot delete one", () => assertFails(deleteDoc(prediction(ana, "done"))));

test("a batch gets nothing past the rules", () =>
  assertFails(writeBatch(ana).update(prediction(ana, "done"), { claims: 0 }).commit()));

test("a transaction gets nothing past the rules", () =>
  assertFails(
    runTransaction(ana, async (transaction) => {
      await transaction.get(prediction(ana, "done"));
      transaction.update(prediction(ana, "done"), { claims: 0 });
    }),
  ));

// -- feedback

test("whoever gave feedback reads it", async () => {
  const mine = query(feedback(ana), where("ownerUid", "==", "ana"));
  const found = await assertSucceeds(getDocs(mine));
  assert.deepEqual(found.docs.map((one) => one.data().verdict), ["good"]);
  await assertSucceeds(getDoc(given(ana)));
});

test("another user does not read feedback", async () => {
  await assertFails(getDocs(feedback(bob)));
  await assertFails(getDoc(given(bob)));
});

test("nobody reads feedback without signing in", () => assertFails(getDoc(given(nobody))));

test("feedback is no collection group", () =>
  assertFails(getDocs(query(collectionGroup(ana, "feedback"), where("ownerUid", "==", "ana")))));

test("feedback is given through the API only", () =>
  assertFails(setDoc(doc(feedback(ana), "new"), { ownerUid: "ana", verdict: "good" })));

test("feedback stays as it was given", async () => {
  await assertFails(updateDoc(given(ana), { verdict: "bad" }));
  await assertFails(deleteDoc(given(ana)));
});

// -- models

test("whoever is signed in reads models", async () => {
  assert.equal((await assertSucceeds(getDoc(doc(bob, "models", "starter")))).data().version, "1");
  assert.equal((await assertSucceeds(getDocs(collection(bob, "models")))).size, 1);
});

test("nobody reads models without signing in", async () => {
  await assertFails(getDoc(doc(nobody, "models", "starter")));
  await assertFails(getDocs(collection(nobody, "models")));
});

test("nobody writes models", async () => {
  await assertFails(setDoc(doc(ana, "models", "mine"), { version: "1" }));
  await assertFails(updateDoc(doc(ana, "models", "starter"), { version: "2" }));
  await assertFails(deleteDoc(doc(ana, "models", "starter")));
});

test("what lies below a model is closed", () => assertFails(getDoc(doc(ana, "models", "starter", "secrets", "x"))));

// -- everything else

test("what only servers use is closed to read", async () => {
  for (const path of internal) await assertFails(getDoc(doc(ana, path)));
});

test("what only servers use is closed to list", async () => {
  for (const path of internal) await assertFails(getDocs(collection(ana, path.split("/")[0])));
});

test("what only servers use is closed to write", async () => {
  for (const path of internal) await assertFails(setDoc(doc(ana, path), { ownerUid: "ana" }));
});

test("below a prediction there is nothing but feedback", () =>
  assertFails(getDoc(doc(prediction(ana, "done"), "secrets", "x"))));
