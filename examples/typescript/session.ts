// A session with Taskwire: register, log in, create, page, watch, and tell errors by their reasons.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb";
import { type Task, type TaskChange, TaskService } from "./gen/taskwire/v1/task_service_pb";
import { UserService } from "./gen/taskwire/v1/user_service_pb";

const PASSWORD = "correct horse battery staple";

type Tasks = Client<typeof TaskService>;
type Users = Client<typeof UserService>;

/** What a program decides by; the text is for people. */
function reason(error: unknown): string {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}

/** Registers when need be, and answers an access token. */
async function logIn(users: Users, email: string): Promise<string> {
  try {
    await users.createUser({ user: { email, displayName: "Ada" }, password: PASSWORD });
    console.log("registered", email);
  } catch (error) {
    if (reason(error) !== "USER_ALREADY_EXISTS") throw error;
    console.log("known already:", email);
  }
  return (await users.login({ email, password: PASSWORD, device: "example" })).accessToken;
}

/** Repeats a call that is safe to repeat, while the service is away. */
async function retried<T>(call: () => Promise<T>): Promise<T> {
  for (let wait = 100; ; wait *= 2) {
    try {
      return await call();
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable || wait > 1000) throw error;
      await sleep(wait * (0.5 + Math.random()));
    }
  }
}

/** Every task of a listing, page by page. */
async function* pages(tasks: Tasks, options: CallOptions, wanted: { pageSize?: number; filter?: string; orderBy: string }): AsyncGenerator<Task> {
  let pageToken = "";
  do {
    const page = await retried(() => tasks.listTasks({ parent: "users/me", pageToken, ...wanted }, options));
    yield* page.tasks;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** The changes as they happen; `ready` is called once they are followed. Goes on where a stream broke off. */
async function* watch(tasks: Tasks, options: CallOptions, ready: () => void): AsyncGenerator<TaskChange> {
  let revision: bigint | undefined;
  let known = "";
  for (;;) {
    const start = revision === undefined ? { initialState: true } : { startRevision: revision, history: known };
    try {
      for await (const { event, history } of tasks.watchTasks({ parent: "users/me", ...start }, options)) {
        // Revisions of another history mean other changes: one is kept beside the other.
        known = history;
        if (event.case === "initialStateEnd") {
          revision = event.value.revision;
          ready();
        } else if (event.case === "bookmark") {
          revision = event.value.revision;
        } else if (event.case === "change") {
          if (event.value.prevRevision !== revision) throw new Error("a change was missed");
          revision = event.value.revision;
          yield event.value;
        }
      }
    } catch (error) {
      if (["REVISION_COMPACTED", "HISTORY_CHANGED"].includes(reason(error) ?? "")) revision = undefined;
      else if (ConnectError.from(error).code !== Code.Unavailable) throw error;
    }
    await sleep(1000);
  }
}

async function main(): Promise<void> {
  const transport = createGrpcTransport({ baseUrl: process.env.TASKWIRE ?? "http://127.0.0.1:50051", defaultTimeoutMs: 15_000 });
  const users = createClient(UserService, transport);
  const tasks = createClient(TaskService, transport);
  const token = await logIn(users, process.env.TASKWIRE_EMAIL ?? "ada@example.com");
  const options = { headers: { authorization: `Bearer ${token}` } };

  let last: Task | undefined;
  for (const title of ["Buy milk", "Water the plants", "Straße fegen"]) {
    // With a request id the call can be repeated: it makes one task.
    const request = { parent: "users/me", task: { title }, requestId: randomUUID() };
    last = await retried(() => tasks.createTask(request, options));
    const again = await tasks.createTask(request, options);
    if (again.name !== last.name) throw new Error("the repeated call made a second task");
  }
  if (last === undefined) throw new Error("nothing was created");
  console.log("created three");

  let listed = 0;
  for await (const _ of pages(tasks, options, { pageSize: 2, orderBy: "title" })) listed += 1;
  if (listed < 3) throw new Error(`${listed} tasks were listed`);
  console.log("listed", listed, "in pages of two");

  const stopped = new AbortController();
  const name = last.name;
  const complete = () => void tasks.updateTask({ task: { name, completed: true }, updateMask: { paths: ["completed"] } }, options);
  for await (const change of watch(tasks, { ...options, signal: stopped.signal, timeoutMs: 0 }, complete)) {
    if (!change.task?.completed) throw new Error("another change than the one made");
    console.log("watched", change.task.title, "being completed");
    break;
  }
  stopped.abort();

  // Completing what comes again makes the next one.
  const weekly = {
    title: "Put the bins out",
    dueDate: { year: 2030, month: 1, day: 3 },
    timeZone: "Europe/Berlin",
    recurrence: { rrule: "FREQ=WEEKLY" },
  };
  const bins = await tasks.createTask({ parent: "users/me", task: weekly, requestId: randomUUID() }, options);
  const done = await tasks.updateTask({ task: { name: bins.name, completed: true } }, options);
  const { dueDate } = await tasks.getTask({ name: done.nextTask }, options);
  const parts = [dueDate?.year, dueDate?.month, dueDate?.day].map((part) => String(part).padStart(2, "0"));
  console.log(`completed, and due again on ${parts.join("-")}`);

  // Tasks stand in lists, and below one another; a subtask is in the list of its parent.
  const garden = await tasks.createTaskList({ parent: "users/me", taskList: { title: "Garden" }, requestId: randomUUID() }, options);
  let parentTask = "";
  for (const title of ["Plant a tree", "Dig a hole"]) {
    const request = { parent: "users/me", task: { title, taskList: garden.name, parentTask }, requestId: randomUUID() };
    parentTask = (await tasks.createTask(request, options)).name;
  }
  const there: string[] = [];
  for await (const task of pages(tasks, options, { filter: `task_list = "${garden.name}"`, orderBy: "position" })) {
    there.push((task.parentTask ? "- " : "") + task.title);
  }
  console.log(`in ${garden.title}: ${there.join(", ")}`);

  try {
    await tasks.getTask({ name: `users/me/tasks/${randomUUID()}` }, options);
    throw new Error("a task that does not exist was answered");
  } catch (error) {
    if (reason(error) !== "TASK_NOT_FOUND") throw error;
    console.log("told by its reason:", reason(error));
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
