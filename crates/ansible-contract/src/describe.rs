//! What the documentation generators need to know of a module, as JSON.

use crate::{Module, codes};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Schemas of options and results with their descriptions, and the codes with their meanings.
pub fn describe<M: Module>() -> Value {
    let schema = |s: schemars::Schema| serde_json::to_value(s).unwrap_or_default();
    let generator = || SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let codes = M::CODES.iter().copied().chain([codes::ALL, fault::file::ALL]).flatten();
    json!({
        "module": M::NAME,
        "options": schema(generator().into_root_schema_for::<M::Options>()),
        "report": schema(generator().into_root_schema_for::<M::Report>()),
        "failure_facts": M::FAILURE_FACTS.iter().map(|(name, meaning)| json!({"name": name, "meaning": meaning})).collect::<Vec<_>>(),
        "codes": codes.map(|c| json!({"code": c.name, "meaning": c.meaning})).collect::<Vec<_>>(),
    })
}
