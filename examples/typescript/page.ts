// A page's script that calls Taskwire by gRPC-Web, through the gateway. `?gateway=` names it.

import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb";
import { TaskService } from "./gen/taskwire/v1/task_service_pb";
import { UserService } from "./gen/taskwire/v1/user_service_pb";

const PASSWORD = "correct horse battery staple";

function say(line: string): void {
  const item = document.createElement("li");
  item.textContent = line;
  document.body.append(item);
}

async function main(): Promise<void> {
  const baseUrl = new URLSearchParams(location.search).get("gateway") ?? "http://127.0.0.1:8080";
  const transport = createGrpcWebTransport({ baseUrl });
  const users = createClient(UserService, transport);
  const tasks = createClient(TaskService, transport);
  const email = `page-${crypto.randomUUID()}@example.com`;
  await users.createUser({ user: { email }, password: PASSWORD });
  const { accessToken } = await users.login({ email, password: PASSWORD });
  const headers = { authorization: `Bearer ${accessToken}` };
  say("logged in");

  await tasks.createTask({ parent: "users/me", task: { title: "Straße fegen 🧹" } }, { headers });
  const { tasks: listed } = await tasks.listTasks({ parent: "users/me" }, { headers });
  for (const task of listed) say(`task: ${task.title}`);

  for await (const { event } of tasks.watchTasks({ parent: "users/me", initialState: true }, { headers })) {
    if (event.case === "task") say(`watched: ${event.value.title}`);
    if (event.case === "initialStateEnd") break;
  }

  try {
    await tasks.getTask({ name: "users/me/tasks/x" }, { headers });
  } catch (error) {
    say(`told by its reason: ${ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason}`);
  }
}

main().then(
  () => say("done"),
  (error: unknown) => say(`failed: ${error}`),
);
