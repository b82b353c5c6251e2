// Receives the webhooks of Taskwire: checks who sent them, and takes each event once. Needs nothing but Node.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";

// The secret of the webhook; while it is being replaced, both with a blank between.
const SECRETS = (process.env.TASKWIRE_WEBHOOK_SECRET ?? "")
  .split(" ")
  .filter((secret) => secret !== "")
  .map((secret) => Buffer.from(secret.replace(/^whsec_/, ""), "base64"));
// What was sent longer ago was recorded by somebody, and is sent again by them.
const AGE_MAX_SECONDS = 5 * 60;
const BODY_BYTES_MAX = 1 << 20;
// A program that must not do anything twice keeps the ids where it keeps what it did, and as long as events may be repeated.
const IDS_MAX = 100_000;

interface Event {
  type: string;
  timestamp: string;
  data: { task?: { title?: string }; taskList?: { title?: string }; name?: string };
}

/** Compares in constant time: how long it takes must not tell how much of a forged one is right. */
function equal(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Whether a message was sent by whoever knows the secret, and just now. */
function isAuthentic(headers: IncomingHttpHeaders, body: Buffer, nowSeconds: number): boolean {
  const [id, sent, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => String(headers[name] ?? ""));
  if (!id || !sent || !signatures || !/^\d{1,12}$/.test(sent)) return false;
  if (Math.abs(nowSeconds - Number(sent)) > AGE_MAX_SECONDS) return false;
  const expected = SECRETS.map((secret) => `v1,${createHmac("sha256", secret).update(`${id}.${sent}.`).update(body).digest("base64")}`);
  return signatures.split(" ").some((given) => expected.some((one) => equal(given, one)));
}

/** What the program does with an event; throwing leaves it to be sent again. */
function take({ type, data }: Event): void {
  console.log(type, data.task?.title ?? data.taskList?.title ?? data.name ?? "");
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const taken = new Set<string>();

async function receive(request: IncomingMessage): Promise<number> {
  if (request.method !== "POST") return 405;
  const body = await bodyOf(request);
  if (body === undefined) return 413;
  if (!isAuthentic(request.headers, body, Date.now() / 1000)) return 401;
  // Every event comes at least once: what was taken already is taken again without doing anything.
  const id = String(request.headers["webhook-id"]);
  if (taken.has(id)) return 204;
  take(JSON.parse(body.toString("utf8")) as Event);
  taken.add(id);
  const [oldest] = taken;
  if (taken.size > IDS_MAX && oldest !== undefined) taken.delete(oldest);
  return 204;
}

if (SECRETS.length === 0) throw new Error("TASKWIRE_WEBHOOK_SECRET is not set");
const [host, port] = (process.env.TASKWIRE_RECEIVER ?? "127.0.0.1:8000").split(/:(?=\d+$)/);
createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    (error: unknown) => {
      console.error(error);
      response.writeHead(500).end();
    },
  );
}).listen(Number(port), host);
