//! The interface as an OpenAPI 3.1 document, made from the table of routes.

use super::{
    fields::{Field, exclusive},
    routes::{JSON, Method, ROUTES, Route},
    webhook,
};
use crate::auth::Role;
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let of_path = paths.entry(route.path).or_insert_with(|| json!({}));
        of_path[route.method.label().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tickpath",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Watch and steer a running tickpath. Amounts are decimal text in the quote currency or in \
                            units of the base asset. Where `control.open_reads` is set, routes of role viewer need no \
                            token on this host. Names that end in _ns, _ms and _s are nanoseconds, milliseconds \
                            and seconds, times since the unix epoch.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {"type": "string", "description": "What was wrong, what was seen and what may be."},
                        "outcome": {"type": "string", "description": "What became of a change."},
                    },
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.meaning,
        "operationId": operation_id(route),
        "description": format!("Role: {} ({})", route.role, route.role.meaning()),
        "x-role": route.role.label(),
        "responses": responses(route),
    });
    if route.role > Role::Anyone {
        operation["security"] = json!([{"token": []}]);
    }
    match (route.fields.is_empty(), route.method) {
        (true, Method::Get) => {}
        (false, Method::Get) => operation["parameters"] = route.fields.iter().map(parameter).collect(),
        (_, Method::Post | Method::PostUrgent) => operation["requestBody"] = body(route.fields),
    }
    operation
}

/// Method and path in one word.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches('/').replace(['/', '-', '.'], "_");
    format!("{}_{path}", route.method.label().to_lowercase())
}

fn parameter(field: &Field) -> Value {
    json!({
        "name": field.name,
        "in": "query",
        "required": field.is_required,
        "description": field.meaning,
        "schema": field.schema(),
    })
}

fn body(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = field.schema();
            schema["description"] = field.meaning.into();
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = fields.iter().filter(|f| f.is_required).map(|f| f.name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if let Some(names) = exclusive(fields) {
        schema["not"] = json!({"required": names});
    }
    json!({"required": !required.is_empty(), "content": {JSON: {"schema": schema}}})
}

/// Health, which tells what is wrong instead of an error.
fn is_report(route: &Route) -> bool {
    route.path == "/health/ready" || route.path.starts_with("/api/v1/status/health")
}

/// Every status but success that the route may answer with, and what it means.
fn errors(route: &Route) -> Vec<(u16, &'static str)> {
    let mut errors = vec![(429, "Too many requests; `Retry-After` says when to try again.")];
    if !route.fields.is_empty() || route.method != Method::Get {
        errors.push((400, "A value that is not taken."));
    }
    if route.role > Role::Anyone || route.path.starts_with(webhook::PREFIX) {
        errors.push((401, "No token, or none that opens anything."));
        errors.push((403, "A token of a lesser role."));
        errors.push((503, "What it is read from or sent to is not there."));
    }
    if route.method != Method::Get {
        errors.push((404, "What it is about is not there, or not any more."));
        errors.push((409, "Refused to keep money safe, or the second step does not fit the first."));
        errors.push((413, "A body of more than 64 KiB."));
        errors.push((415, "A body that is not declared as JSON."));
        errors.push((500, "An answer of a later build."));
        errors.push((504, "No answer of the hot process: it may have been carried out."));
    }
    if is_report(route) {
        errors.push((503, "Not in order; the answer says why."));
    }
    if route.path == "/api/v1/simulation/performance" {
        errors.push((409, "This instance is no simulation."));
    }
    errors
}

/// Every status that the route may answer with.
fn responses(route: &Route) -> Value {
    let of_json = |schema: Value| json!({JSON: {"schema": schema}});
    let schema = json!({"type": if route.content_type == JSON { "object" } else { "string" }});
    let mut responses = Map::new();
    let mut add = |status: u16, meaning: &str, content: Value| {
        responses.insert(status.to_string(), json!({"description": meaning, "content": content}));
    };
    add(200, route.meaning, json!({route.content_type: {"schema": schema}}));
    for (status, meaning) in errors(route) {
        let is_free = is_report(route) && status == 503;
        let error =
            if is_free { json!({"type": "object"}) } else { json!({"$ref": "#/components/schemas/Error"}) };
        add(status, meaning, of_json(error));
    }
    if route.path.starts_with(webhook::PREFIX) {
        add(202, "Taken.", of_json(json!({"type": "object"})));
    }
    if route.fields.iter().any(|field| field.name == "confirm") {
        let first = json!({
            "type": "object",
            "required": ["confirm", "within_s"],
            "properties": {
                "confirm": {"type": "string", "description": "To be sent in the second step."},
                "within_s": {"type": "integer"},
            },
        });
        add(202, "The first step.", of_json(first));
    }
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_the_document_with_its_role_and_the_reverse() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let mut operations = 0;
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                let of_it = |r: &&Route| r.path == path && r.method.label().to_lowercase() == *method;
                let route = ROUTES.iter().find(of_it).unwrap_or_else(|| panic!("{method} {path}"));
                assert_eq!(operation["x-role"], route.role.label(), "{path}");
                assert_eq!(operation["security"].is_array(), route.role > Role::Anyone, "{path}");
                operations += 1;
            }
        }
        assert_eq!(operations, ROUTES.len());
        let ids: std::collections::BTreeSet<String> = ROUTES.iter().map(operation_id).collect();
        assert_eq!(ids.len(), ROUTES.len());
    }
}
