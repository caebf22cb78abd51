//! The demo's Cedar policies, as files that a person can read and change.

/// File names and texts.
pub const POLICIES: [(&str, &str); 4] = [
    ("1-everybody.cedar", include_str!("../policies/1-everybody.cedar")),
    ("2-engineers.cedar", include_str!("../policies/2-engineers.cedar")),
    ("3-contractors.cedar", include_str!("../policies/3-contractors.cedar")),
    ("4-safety.cedar", include_str!("../policies/4-safety.cedar")),
];

#[cfg(test)]
mod tests {
    use controls::{NamedText, Server, Snapshot, SnapshotSource};

    #[test]
    fn the_policies_are_without_mistakes() {
        let named = |(name, text): (&str, &str)| NamedText { name: name.into(), text: text.into() };
        let source = SnapshotSource {
            policies: super::POLICIES.map(named).into(),
            entities: vec![Server { name: crate::SERVER.to_owned(), open: false }],
            ..SnapshotSource::default()
        };
        if let Err(error) = Snapshot::build(source) {
            panic!("{error}");
        }
    }
}
