//! `/docs`: the OpenAPI document as a page for people. It loads nothing, from here or elsewhere, and runs no script.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::domain::Digest;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
code{font-family:ui-monospace,monospace;font-size:.9em;background:#f0f2f4;padding:.1em .3em;border-radius:3px}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}\
td,th{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid #d8dee4}\
td p,td ul{margin:0}section{margin:2.5rem 0}h3 code{font-size:1em}a{color:#0b57d0}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}code{background:#21262d}\
td,th{border-color:#30363d}a{color:#79b8ff}}";

/// A page, and what a browser may do with it.
pub(super) struct Page {
    /// The page.
    pub(super) html: String,
    /// The value of `Content-Security-Policy`.
    pub(super) policy: String,
}

/// The page of a document.
pub(super) fn page(document: &Value) -> Page {
    let hash = STANDARD.encode(Digest::of(STYLE.as_bytes()).0);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut html = Html::default();
    html.put(&format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Aegis API</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n\
         <body>\n<h1>Aegis API</h1>\n"
    ));
    html.prose(text(&document["info"]["description"]));
    html.put("<p>As a document for programs: <a href=\"/openapi.json\">/openapi.json</a> (OpenAPI 3.1).</p>\n");
    let operations = operations(document);
    for tag in list(&document["tags"]) {
        let of_tag =
            operations.iter().filter(|operation| list(&operation.about["tags"]).any(|name| *name == tag["name"]));
        let of_tag: Vec<_> = of_tag.collect();
        if of_tag.is_empty() {
            continue;
        }
        html.put("<h2>").text(text(&tag["description"])).put("</h2>\n");
        for operation in of_tag {
            html.operation(operation);
        }
    }
    html.put("<h2>Messages</h2>\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        html.schema(name, schema);
    }
    html.put("</body>\n</html>\n");
    Page { html: html.0, policy }
}

struct Operation<'a> {
    method: String,
    path: &'a str,
    about: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = members(&document["paths"]);
    paths
        .flat_map(|(path, methods)| {
            members(methods).map(move |(method, about)| Operation { method: method.to_uppercase(), path, about })
        })
        .collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[derive(Default)]
struct Html(String);

impl Html {
    /// Writes markup.
    fn put(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Writes text: what is markup in it is shown, and what stands in backticks is code.
    fn text(&mut self, text: &str) -> &mut Self {
        for (i, part) in text.split('`').enumerate() {
            if i % 2 == 1 {
                self.put("<code>").plain(part).put("</code>");
            } else {
                self.plain(part);
            }
        }
        self
    }

    fn plain(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Writes paragraphs and lists.
    fn prose(&mut self, text: &str) {
        for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            if block.starts_with("- ") {
                self.put("<ul>");
                for item in block.lines() {
                    self.put("<li>").text(item.trim_start_matches("- ")).put("</li>");
                }
                self.put("</ul>\n");
            } else {
                self.put("<p>").text(block).put("</p>\n");
            }
        }
    }

    fn operation(&mut self, Operation { method, path, about }: &Operation<'_>) {
        self.put("<section id=\"").plain(text(&about["operationId"])).put("\">\n<h3><code>");
        self.plain(&format!("{method} {path}")).put("</code> ").text(text(&about["summary"])).put("</h3>\n");
        self.prose(text(&about["description"]));
        let roles: Vec<_> = list(&about["x-aegis-roles"]).map(text).collect();
        let roles = if roles.is_empty() { "everybody".to_owned() } else { roles.join(", ") };
        self.put("<p>Roles: ").plain(&roles).put("</p>\n");
        let mut parameters = list(&about["parameters"]).peekable();
        if parameters.peek().is_some() {
            self.put("<table><tr><th>Parameter</th><th>Type</th><th></th></tr>\n");
            for parameter in parameters {
                let description = text(&parameter["description"]);
                self.row(text(&parameter["name"]), &parameter["schema"], description);
            }
            self.put("</table>\n");
        }
        for (_, content) in members(&about["requestBody"]["content"]) {
            self.put("<p>Body: ").kind(&content["schema"]).put("</p>\n");
        }
        self.put("<table><tr><th>Status</th><th>Body</th><th></th></tr>\n");
        for (status, response) in members(&about["responses"]) {
            let content = members(&response["content"]).map(|(_, content)| &content["schema"]).next();
            self.row(status, content.unwrap_or(&Value::Null), text(&response["description"]));
        }
        self.put("</table>\n</section>\n");
    }

    fn schema(&mut self, name: &str, schema: &Value) {
        self.put("<section id=\"schema-").plain(name).put("\">\n<h3>").plain(name).put("</h3>\n");
        self.prose(text(&schema["description"]));
        let mut properties = members(&schema["properties"]).peekable();
        if properties.peek().is_none() {
            self.put("<p>").kind(schema).put("</p>\n</section>\n");
            return;
        }
        self.put("<table><tr><th>Field</th><th>Type</th><th></th></tr>\n");
        for (field, about) in properties {
            self.row(field, about, text(&about["description"]));
        }
        self.put("</table>\n</section>\n");
    }

    fn row(&mut self, name: &str, schema: &Value, description: &str) {
        self.put("<tr><td><code>").plain(name).put("</code></td><td>").kind(schema).put("</td><td>");
        self.prose(description);
        self.put("</td></tr>\n");
    }

    /// Writes what kind of value a schema describes.
    fn kind(&mut self, schema: &Value) -> &mut Self {
        if let Some(name) = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
            return self.put("<a href=\"#schema-").plain(name).put("\">").plain(name).put("</a>");
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            for (i, choice) in choices.iter().enumerate() {
                self.put(if i > 0 { " or " } else { "" }).kind(choice);
            }
            return self;
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<_> = words.iter().map(|word| format!("`{}`", text(word))).collect();
            return self.text(&words.join(", "));
        }
        let kinds = match &schema["type"] {
            Value::String(kind) => kind.clone(),
            kinds => list(kinds).map(text).collect::<Vec<_>>().join(" or "),
        };
        if kinds.starts_with("array") {
            return self.put("list of ").kind(&schema["items"]);
        }
        let format = schema["format"].as_str().map(|format| format!(" ({format})"));
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{}", if kinds.is_empty() { "anything" } else { "" });
        self.plain(&kinds).plain(&format.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_nothing_of_it_is_markup() {
        let document = json!({
            "info": {"description": "About `x<y`."},
            "tags": [{"name": "t", "description": "Things"}],
            "paths": {"/a/{id}": {"get": {
                "operationId": "getA", "summary": "Get <b>", "description": "One.\n\n- `A`: first\n- `B`: second",
                "tags": ["t"], "x-aegis-roles": ["admin"],
                "parameters": [{"name": "id", "schema": {"type": "string"}, "description": "The id"}],
                "responses": {"200": {"description": "Good", "content": {"application/json": {
                    "schema": {"type": "array", "items": {"$ref": "#/components/schemas/A"}}}}}}
            }}},
            "components": {"schemas": {"A": {"description": "An A", "properties": {
                "n": {"type": ["integer", "null"], "format": "int64", "description": "How \"many\""}}}}}
        });
        let Page { html, policy } = page(&document);
        for expected in [
            "<code>x&lt;y</code>",
            "<code>GET /a/{id}</code> Get &lt;b&gt;",
            "<li><code>A</code>: first</li>",
            "Roles: admin",
            "list of <a href=\"#schema-A\">A</a>",
            "integer or null (int64)",
            "How &quot;many&quot;",
        ] {
            assert!(html.contains(expected), "{expected} is missing:\n{html}");
        }
        assert!(!html.contains("<script") && !html.contains("://"), "{html}");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    }
}
