// The OpenAPI document for people.
"use strict";

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function bounds(schema) {
  const parts = [schema.type];
  if (schema.minimum !== undefined) parts.push(`${schema.minimum} to ${schema.maximum}`);
  if (schema.maxLength !== undefined) parts.push(`at most ${schema.maxLength} characters`);
  if (schema.enum) parts.push(schema.enum.join(" | "));
  return parts.join(", ");
}

function fields(operation) {
  const body = operation.requestBody?.content["application/json"].schema;
  const inBody = Object.entries(body?.properties || {}).map(([name, schema]) =>
    ({ name, schema, description: schema.description, required: body.required.includes(name) }));
  return [...(operation.parameters || []), ...inBody];
}

function show(path, method, operation) {
  const section = document.createElement("section");
  const title = document.createElement("h2");
  title.append(element("code", `${method.toUpperCase()} ${path}`), " ", element("span", operation["x-role"], "role"));
  section.append(title, element("div", operation.summary));
  const list = document.createElement("ul");
  for (const field of fields(operation)) {
    const item = element("li", "");
    item.append(element("code", field.name), ` (${bounds(field.schema)}${field.required ? ", needed" : ""}): ${field.description}`);
    list.append(item);
  }
  if (list.childElementCount) section.append(list);
  return section;
}

fetch("/api/v1/openapi.json").then((answer) => answer.json()).then((document_) => {
  const host = document.getElementById("routes");
  host.append(element("p", document_.info.description));
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) host.append(show(path, method, operation));
  }
});
