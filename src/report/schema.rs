//! The JSON schema of a report, derived from its types.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::Schema;
use serde_json::Value;

use super::Report;

impl Report {
    /// The JSON schema (draft 2020-12) of `report.json`, as `docs/report.schema.json` holds it. Every key that is always
    /// written is required, and no others than those described are allowed. Where a number may be infinite its type
    /// allows null.
    #[cfg_attr(docsrs, doc(cfg(feature = "schema")))]
    pub fn json_schema() -> Value {
        let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(finish));
        settings.into_generator().into_root_schema_for::<Report>().into()
    }
}

/// Closes an object to unknown keys, makes descriptions of documentation, and drops the names of Rust's numbers.
fn finish(schema: &mut Schema) {
    schema.remove("format");
    let object = schema.get("type").is_some_and(|kind| kind == "object");
    if object && schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    if let Some(text) = schema.get("description").and_then(Value::as_str).map(plain) {
        schema.insert("description".to_owned(), text.into());
    }
}

/// The prose of documentation, without its examples, what leads up to them, line breaks and links.
fn plain(text: &str) -> String {
    let prose = text.split("```").next().unwrap_or_default().trim();
    let prose = prose.rsplit_once("\n\n").filter(|(_, last)| last.ends_with(':')).map_or(prose, |(prose, _)| prose);
    let mut rest = prose.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("`]") {
        plain += &format!("{before}`");
        let target = after.strip_prefix('(').and_then(|link| link.split_once(')'));
        rest = target.map_or(after, |(_, after)| after).to_owned();
    }
    (plain + &rest).replace("[`", "`").replace("`None`", "null")
}
