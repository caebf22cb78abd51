//! What `search_docs` finds.

const DOCUMENTS: [(&str, &str); 5] = [
    ("Rotating keys", "Call rotate_key with the service. The old key works for another 24 hours."),
    ("Deploy checklist", "Deploy to staging first. Production follows when the checks are green."),
    ("Customer tiers", "A customer is gold after ten orders a year; support sets it by run_sql."),
    ("Refunds", "Refunds above 500 need a second pair of eyes."),
    ("On call", "The engineer on call answers within 15 minutes."),
];

/// Documents that hold a word of `text`, best first: `title: body`.
pub(super) fn find(text: &str) -> Vec<String> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 2)
        .map(stem)
        .collect();
    let mut found: Vec<(usize, String)> = DOCUMENTS
        .iter()
        .map(|(title, body)| {
            let document = format!("{title}: {body}");
            let text = document.to_lowercase();
            (words.iter().filter(|word| text.contains(word.as_str())).count(), document)
        })
        .filter(|(hits, _)| *hits > 0)
        .collect();
    found.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
    found.into_iter().map(|(_, document)| document).collect()
}

/// Plurals find the singular.
fn stem(word: &str) -> String {
    let word = word.to_lowercase();
    word.strip_suffix('s').map_or(word.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_best_document_comes_first() {
        assert!(find("how do I rotate a key?")[0].starts_with("Rotating keys"));
        assert!(find("deploy checklist")[0].starts_with("Deploy checklist"));
        assert!(find("xylophone").is_empty() && find("").is_empty());
    }
}
