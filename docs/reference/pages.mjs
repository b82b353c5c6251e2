// Writes the document for the reference page: what the services say of all their calls becomes pages of its own, calls
// go by their names, in the order of the contract.
//
// node pages.mjs OPENAPI_JSON OUT PROTO…

import { readFileSync, writeFileSync } from "node:fs";

const [from, to, ...protos] = process.argv.slice(2);
const document = JSON.parse(readFileSync(from, "utf8"));

// A comment begins with one sentence. Each `**Word.**` at the head of a paragraph opens a subject.
const SUBJECT = /\n\n(?=\*\*[^*\n]+\.\*\* )/;

const pages = document.tags.map((tag) => {
  const [summary, ...subjects] = tag.description.split(SUBJECT);
  if (subjects.length === 0) throw new Error(`${tag.name}: its comment has no subjects`);
  tag.description = `${summary}\n\nWhat holds for all of these calls stands under *About ${tag.name}*.`;
  const sections = subjects.map((text) => text.replace(/^\*\*([^*\n]+)\.\*\* /, "## $1\n\n"));
  return [`# About ${tag.name}`, summary, ...sections].join("\n\n");
});
document.info.description = [document.info.description, ...pages].join("\n\n");

// A call with a form of its own for what belongs to the administrators stands there twice, one behind the other.
const methods = protos.flatMap((file) => [...readFileSync(file, "utf8").matchAll(/^  rpc (\w+)\(/gm)].map(([, name]) => name));
const documented = Object.values(document.paths).flatMap(Object.values).map(({ operationId }) => operationId);
const calls = methods.flatMap((name) => [name, `${name}ForAdministrators`].filter((form) => documented.includes(form)));
for (const operation of Object.values(document.paths).flatMap(Object.values)) {
  // The first sentence stands in the description as well.
  operation.summary = operation.operationId;
  if (!calls.includes(operation.operationId)) throw new Error(`${operation.operationId} is not in the contract`);
}
document["x-order"] = calls;
writeFileSync(to, JSON.stringify(document));
