//! Reads policy files and the schema, reporting every mistake where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema};
use proto::names::is_leaf_name;

use super::bounds;
use super::validate;

/// A policy file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyFile<'a> {
    /// File name, `<stem>.cedar`.
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

/// A mistake in a policy file (`Some(index of the file)`) or in the schema (`None`).
#[derive(Debug)]
pub(crate) struct PolicyMistake {
    pub(crate) file: Option<usize>,
    /// Byte offset in that text.
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// What annotations say of a policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Annotations {
    /// `@approval("group")`: a person of this group may release what the policy forbids.
    pub(super) approval: Option<String>,
    /// `@reason("…")`: what the caller is told.
    pub(super) reason: Option<String>,
}

/// All policies, under their final ids.
#[derive(Debug)]
pub(super) struct Policies {
    pub(super) set: PolicySet,
    pub(super) annotations: BTreeMap<String, Annotations>,
    pub(super) schema: Schema,
}

/// A policy and where it stands.
pub(super) struct Placed {
    pub(super) policy: Policy,
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

/// Stack for reading policies. Cedar's parser takes up to 32 KiB of it for each level of brackets, in a debug build
/// more, and whoever reads policies may have a stack of 2 MiB.
const STACK_BYTES: usize = 64 << 20;

/// Reads policies and schema on a stack of their own.
pub(super) fn read(files: &[PolicyFile<'_>], schema: &str) -> Result<Policies, Vec<PolicyMistake>> {
    let failed = |what: String| {
        let message = format!("the policies cannot be read here: {what}");
        vec![PolicyMistake { file: None, offset: 0, message }]
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let reading = thread.spawn_scoped(scope, || read_here(files, schema));
        let read =
            reading.map_err(|error| failed(format!("there is no thread for it ({error})")))?;
        read.join().unwrap_or_else(|_| Err(failed("the policy engine failed".to_owned())))
    })
}

fn read_here(files: &[PolicyFile<'_>], schema: &str) -> Result<Policies, Vec<PolicyMistake>> {
    let mut mistakes = Vec::new();
    let schema = read_schema(schema, &mut mistakes);
    let mut placed = Vec::new();
    for (index, file) in files.iter().enumerate() {
        match bounds::check(file.text) {
            Ok(()) => read_file(index, file, &mut placed, &mut mistakes),
            Err(passed) => mistakes.push(passed.in_file(Some(index))),
        }
    }
    let mut annotations = BTreeMap::new();
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for one in &placed {
        let id = one.policy.id().to_string();
        let mut mistake = |message| {
            mistakes.push(PolicyMistake { file: Some(one.file), offset: one.span.start, message });
        };
        if !is_leaf_name(&id) {
            mistake(format!(
                "policy id `{id}` may not stand in a leaf: use 1 to 128 of A-Z a-z 0-9 _ - . / : + @"
            ));
        }
        annotations.insert(id.clone(), read_annotations(&one.policy, &mut mistake));
        if !ids.insert(id.clone()) {
            mistake(format!("there are two policies with id `{id}`"));
        }
    }
    if let Some(schema) = &schema {
        validate::check(schema, &placed, &mut mistakes);
    }
    let set = PolicySet::from_policies(placed.into_iter().map(|one| one.policy));
    match (schema, set) {
        (Some(schema), Ok(set)) if mistakes.is_empty() => Ok(Policies { set, annotations, schema }),
        (_, set) => {
            if let (Err(error), true) = (set, mistakes.is_empty()) {
                mistakes.push(PolicyMistake { file: None, offset: 0, message: error.to_string() });
            }
            mistakes.sort_by_key(|mistake| (mistake.file, mistake.offset));
            Err(mistakes)
        }
    }
}

fn read_schema(text: &str, mistakes: &mut Vec<PolicyMistake>) -> Option<Schema> {
    if let Err(passed) = bounds::check(text) {
        mistakes.push(passed.in_file(None));
        return None;
    }
    match Schema::from_cedarschema_str(text) {
        Ok((schema, _warnings)) => Some(schema),
        Err(error) => {
            flatten(None, 0, &DetailedError::from(&error), mistakes);
            None
        }
    }
}

fn read_file(
    index: usize,
    file: &PolicyFile<'_>,
    placed: &mut Vec<Placed>,
    mistakes: &mut Vec<PolicyMistake>,
) {
    let set = match PolicySet::from_str(file.text) {
        Ok(set) => set,
        Err(errors) => {
            return flatten(Some(index), 0, &DetailedError::from(&errors), mistakes);
        }
    };
    for template in set.templates() {
        let text = template.to_string();
        mistakes.push(PolicyMistake {
            file: Some(index),
            offset: file.text.find(text.trim()).unwrap_or(0),
            message: "templates (?principal, ?resource) are not supported; write static policies"
                .to_owned(),
        });
    }
    let mut policies: Vec<&Policy> = set.policies().collect();
    // The parser names policies policy0, policy1, … in the order of the text.
    policies.sort_by_key(|policy| {
        let id: &str = policy.id().as_ref();
        id.trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    });
    let stem = file.name.strip_suffix(".cedar").unwrap_or(file.name);
    let mut from = 0;
    for (number, policy) in policies.into_iter().enumerate() {
        let text = policy.to_string();
        let start = file.text[from..].find(text.trim()).map_or(from, |at| from + at);
        let end = (start + text.trim().len()).min(file.text.len());
        from = end;
        let id = match policy.annotation("id") {
            Some(id) => id.to_owned(),
            None => format!("{stem}:{}", number + 1),
        };
        let policy = policy.new_id(PolicyId::new(id));
        placed.push(Placed { policy, file: index, span: start..end });
    }
}

fn read_annotations(policy: &Policy, mistake: &mut impl FnMut(String)) -> Annotations {
    let approval = policy.annotation("approval");
    if let Some(group) = approval {
        if policy.effect() == Effect::Permit {
            mistake("@approval has no meaning on a permit; annotate a forbid".to_owned());
        }
        if !is_leaf_name(group) {
            mistake(format!("@approval(\"{group}\") names no group that may stand in a leaf"));
        }
    }
    Annotations {
        approval: approval.map(str::to_owned),
        reason: policy.annotation("reason").map(str::to_owned),
    }
}

/// A diagnostic and those related to it, each at its first label.
pub(super) fn flatten(
    file: Option<usize>,
    default_offset: usize,
    error: &DetailedError,
    mistakes: &mut Vec<PolicyMistake>,
) {
    let offset = error.source_locations.first().map_or(default_offset, |label| label.loc.start);
    let label = error.source_locations.first().and_then(|label| label.label.clone());
    let mut message = error.message.clone();
    for addition in [label, error.help.clone()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(&addition);
    }
    mistakes.push(PolicyMistake { file, offset, message });
    for related in &error.related {
        flatten(file, default_offset, related, mistakes);
    }
}
