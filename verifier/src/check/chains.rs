//! Do the recorders' own chains show that nothing was left out before it reached the log?

use std::collections::{BTreeMap, BTreeSet};

use proto::event_hash;
use proto::ids::Id;
use proto::kind::Kind;
use tlog::{Checkpoint, Note};

use super::case::{Case, Decoded, need};
use crate::layout;
use crate::report::{Checked, Remark, Stop, fail, fail_at};

/// An epoch of a recorder.
pub(super) type EpochKey = (String, Id);

/// An event in its chain.
pub(super) struct Link<'d> {
    pub(super) decoded: &'d Decoded,
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
    pub(super) in_range: bool,
}

/// Events of the package by epoch, in the order of the log.
pub(super) type Chains<'d> = BTreeMap<EpochKey, Vec<Link<'d>>>;

/// Within the range each epoch is gapless, every event names the one before, and restarts lose nothing.
pub(super) fn check_chains(case: &Case<'_>) -> Checked {
    let chains = chains(case)?;
    let is_whole = need(&case.opened.proof, "the range proof")?.start == 0;
    let (mut cut_before, mut cut_after, mut links) = (0, 0, 0);
    for (key, chain) in &chains {
        for pair in chain.windows(2) {
            follows(key, &pair[0], &pair[1])?;
        }
        for link in chain {
            restart(&chains, key, link, is_whole)?;
        }
        let within: Vec<&Link<'_>> = chain.iter().filter(|link| link.in_range).collect();
        let Some(first) = within.first() else { continue };
        links += within.len();
        cut_before += usize::from(first.sequence > 0);
        // A last seal may stand after it.
        let stopped = within
            .iter()
            .any(|link| matches!(link.decoded.leaf.event.kind, Some(Kind::RecorderStopped(_))));
        cut_after += usize::from(!stopped);
    }
    let in_range = chains.values().filter(|chain| chain.iter().any(|link| link.in_range)).count();
    Ok(format!(
        "{links} events of {} recorders in {in_range} epochs in the range, gapless; {cut_before} chains begin before \
         the range, {cut_after} go on after it; with context {} recorders in {} epochs",
        recorders(&chains, true).len(),
        recorders(&chains, false).len(),
        chains.len()
    ))
}

/// Every recorder is known to the trust file; those that recorded nothing are named.
pub(super) fn check_recorders(case: &Case<'_>) -> Checked {
    let chains = chains(case)?;
    let seen = recorders(&chains, false);
    for ((id, _), chain) in &chains {
        if case.trust.recorder(id).next().is_none() {
            let at = chain.first().map_or(0, |link| link.decoded.index);
            let detail = format!("the recorder {id} is not in the trust file (`recorder <vkey>`)");
            return Err(fail_at("recorders.unknown", format!("leaf {at}"), detail));
        }
    }
    let silent: BTreeSet<&str> =
        case.trust.recorders.iter().map(tlog::VerifyingKey::name).collect();
    let silent: Vec<&str> = silent.difference(&seen).copied().collect();
    let rest = if silent.is_empty() {
        "every recorder of the trust file is there".to_owned()
    } else {
        format!("of the trust file, these recorded nothing here: {}", silent.join(", "))
    };
    let within = recorders(&chains, true).len();
    Ok(format!("{within} recorders in the range, with context {}, all trusted; {rest}", seen.len()))
}

/// Ids of the recorders that recorded in the range, or anywhere in the package.
fn recorders<'c>(chains: &'c Chains<'_>, only_in_range: bool) -> BTreeSet<&'c str> {
    let counts = |chain: &Vec<Link<'_>>| !only_in_range || chain.iter().any(|link| link.in_range);
    chains.iter().filter(|(_, chain)| counts(chain)).map(|((id, _), _)| id.as_str()).collect()
}

pub(super) fn chains<'d>(case: &'d Case<'_>) -> Result<Chains<'d>, Stop> {
    let proof = need(&case.opened.proof, "the range proof")?;
    let mut chains = Chains::new();
    for (index, decoded) in case.all_leaves()? {
        let recorder = decoded.leaf.event.recorder.as_ref();
        let key = recorder.and_then(|recorder| {
            Some((recorder.recorder_id.clone(), Id::from_slice(&recorder.epoch)?))
        });
        let (Some(recorder), Some(key)) = (recorder, key) else {
            // The canonical decoder refuses such a leaf.
            return Err(fail(
                "leaves.not_canonical",
                format_args!("leaf {index} names no recorder"),
            ));
        };
        chains.entry(key).or_default().push(Link {
            decoded,
            sequence: recorder.sequence,
            hash: event_hash(&decoded.leaf.event_bytes),
            in_range: (proof.start..proof.end).contains(&index),
        });
    }
    Ok(chains)
}

/// Neighbours of a chain, by index in the log.
fn follows((id, _): &EpochKey, before: &Link<'_>, after: &Link<'_>) -> Result<(), Stop> {
    let at = || format!("leaf {}", after.decoded.index);
    if after.sequence <= before.sequence {
        let detail =
            format!("number {} of {id} stands after number {}", after.sequence, before.sequence);
        return Err(fail_at("chains.order", at(), detail));
    }
    if after.sequence != before.sequence + 1 {
        if before.in_range && after.in_range {
            let detail = format!(
                "number {} of {id} follows number {}: events between them are missing",
                after.sequence, before.sequence
            );
            return Err(fail_at("chains.gap", at(), detail));
        }
        return Ok(());
    }
    let previous =
        after.decoded.leaf.event.recorder.as_ref().map(|recorder| &recorder.previous_hash);
    if previous.is_none_or(|previous| previous[..] != before.hash[..]) {
        let detail =
            format!("number {} of {id} names another event than the one before it", after.sequence);
        return Err(fail_at("chains.hash", at(), detail));
    }
    Ok(())
}

/// A start is the first event of its epoch, and continues the epoch before, which must be there when the range begins
/// with the log.
fn restart(
    chains: &Chains<'_>,
    (id, _): &EpochKey,
    link: &Link<'_>,
    is_whole: bool,
) -> Result<(), Stop> {
    let at = || format!("leaf {}", link.decoded.index);
    let Some(Kind::RecorderStarted(started)) = &link.decoded.leaf.event.kind else {
        if link.sequence == 0 && !continues_a_log(link) {
            let detail = format!("an epoch of {id} does not begin with RecorderStarted");
            return Err(fail_at("chains.start", at(), detail));
        }
        return Ok(());
    };
    // What a log continues stands before anything else that its ledger says.
    let is_second = link.sequence == 1 && link.decoded.index == 1;
    if link.sequence != 0 && !is_second {
        return Err(fail_at("chains.start", at(), "RecorderStarted inside an epoch"));
    }
    let Some(epoch) = Id::from_slice(&started.previous_epoch) else { return Ok(()) };
    let Some(previous) = chains.get(&(id.clone(), epoch)) else {
        if is_whole {
            let detail = format!("{id} continues an epoch of which the log has nothing");
            return Err(fail_at("chains.restart", at(), detail));
        }
        return Ok(());
    };
    let named = previous.iter().find(|link| link.sequence == started.previous_sequence);
    if named.is_some_and(|named| named.hash[..] != started.previous_hash[..]) {
        let detail = format!("{id} remembers another event as the last of its epoch before");
        return Err(fail_at("chains.restart", at(), detail));
    }
    let last = previous.iter().rfind(|link| link.in_range);
    if let Some(last) = last
        && link.in_range
        && last.sequence < started.previous_sequence
    {
        let detail = format!(
            "{id} had recorded up to number {} before it restarted, the log has them up to {}",
            started.previous_sequence, last.sequence
        );
        return Err(fail_at("chains.lost", at(), detail));
    }
    Ok(())
}

/// Whether it is entry 0 of a log that takes the place of another.
fn continues_a_log(link: &Link<'_>) -> bool {
    link.decoded.index == 0 && matches!(link.decoded.leaf.event.kind, Some(Kind::LogContinued(_)))
}

/// What a reader must know when the range begins with a log that takes the place of another: what was recorded in that
/// one is not here, and a part of it may be lost.
pub(super) fn continued(case: &Case<'_>) -> Option<Remark> {
    let first = case.population.as_ref().ok()?.first()?;
    let Some(Kind::LogContinued(continued)) = &first.leaf.event.kind else { return None };
    if first.index != 0 {
        return None;
    }
    let note = Note::parse(&continued.checkpoint).ok()?;
    let old = Checkpoint::parse_text(note.text()).ok()?;
    let lost = match old.size.0.saturating_sub(continued.restored_size) {
        0 => "none of those are known to be lost".to_owned(),
        lost => format!("the newest {lost} of those are lost"),
    };
    Some(Remark {
        word: "LOG CONTINUED",
        meaning: format!(
            "this log takes the place of {}, of which {} entries were published and {} were left: {lost}. They are no part              of this package",
            old.origin, old.size, continued.restored_size
        ),
    })
}

/// What a reader must know of what the ledger refused of recorders.
pub(super) fn conflicts(case: &Case<'_>) -> Option<Remark> {
    let population = case.population.as_ref().ok()?;
    let conflicts: Vec<_> = population
        .iter()
        .filter(|decoded| matches!(decoded.leaf.event.kind, Some(Kind::RecorderConflict(_))))
        .map(|decoded| decoded.index.to_string())
        .collect();
    (!conflicts.is_empty()).then(|| Remark {
        word: "RECORDER CONFLICT",
        meaning: format!(
            "the ledger refused a forked chain of a recorder, or what its recorder may not record: see leaves {} of {}",
            conflicts.join(", "),
            layout::LEAVES
        ),
    })
}
