//! Do the recorders' own chains show that nothing was left out before it reached the log?

use std::collections::{BTreeMap, BTreeSet};

use proto::event_hash;
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal;

use super::case::{Case, Decoded, need};
use crate::layout;
use crate::report::{Checked, Stop, fail, fail_at};

/// An epoch of a recorder.
type EpochKey = (String, Id);

struct Link<'d> {
    decoded: &'d Decoded,
    sequence: u64,
    hash: [u8; 32],
    in_range: bool,
}

type Chains<'d> = BTreeMap<EpochKey, Vec<Link<'d>>>;

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

/// Every seal is signed by its recorder, names the head that the chain has, and a root that the log had.
pub(super) fn check_seals(case: &Case<'_>) -> Checked {
    let chains = chains(case)?;
    let verified = need(&case.checkpoint, "the checkpoint")?;
    let seals = || {
        chains
            .iter()
            .flat_map(|(key, chain)| chain.iter().map(move |link| (key, chain, link)))
            .filter_map(|(key, chain, link)| match &link.decoded.leaf.event.kind {
                Some(Kind::RecorderSeal(seal)) => Some((key, chain, link, seal)),
                _ => None,
            })
    };
    let roots = case.roots_at(seals().map(|(.., seal)| seal.checkpoint_size).collect())?;
    let (mut count, mut within, mut compared) = (0, 0, 0);
    let mut sealed: BTreeMap<&EpochKey, u64> = BTreeMap::new();
    for (key, chain, link, seal) in seals() {
        let (id, epoch) = key;
        let at = || format!("leaf {}", link.decoded.index);
        let mut keys = case.trust.recorder(id).peekable();
        if keys.peek().is_none() {
            let detail = format!(
                "the seal of {id} cannot be checked: the trust file does not know this recorder"
            );
            return Err(fail_at("recorders.unknown", at(), detail));
        }
        let origin = &verified.checkpoint.origin;
        if !keys.any(|key| seal::verify(seal, origin, id, *epoch, key)) {
            let detail = format!("the seal is not signed by a trusted key of {id}");
            return Err(fail_at("seals.signature", at(), detail));
        }
        if seal.sequence >= link.sequence {
            return Err(fail_at("seals.sequence", at(), "the seal names an event after itself"));
        }
        let named = chain.iter().find(|link| link.sequence == seal.sequence);
        if named.is_some_and(|named| named.hash[..] != seal.hash[..]) {
            let detail = format!("the recorder sealed another event as number {}", seal.sequence);
            return Err(fail_at("seals.chain", at(), detail));
        }
        if let Some(root) = roots.get(&seal.checkpoint_size)
            && seal.checkpoint_size > 0
        {
            if root.as_bytes()[..] != seal.checkpoint_root[..] {
                let detail = format!(
                    "the recorder saw another log: its checkpoint of {} leaves has another root",
                    seal.checkpoint_size
                );
                return Err(fail_at("seals.split_view", at(), detail));
            }
            compared += 1;
        }
        let head = sealed.entry(key).or_default();
        *head = (*head).max(seal.sequence);
        count += 1;
        within += usize::from(link.in_range);
    }
    let unsealed: usize = chains
        .iter()
        .map(|(key, chain)| {
            let head = sealed.get(key);
            chain
                .iter()
                .filter(|link| link.in_range && head.is_none_or(|head| link.sequence > *head))
                .count()
        })
        .sum();
    if count == 0 {
        return Err(Stop::NotChecked(
            "no recorder has sealed its chain in this range or soon after it".to_owned(),
        ));
    }
    Ok(format!(
        "{count} seals signed by their recorders ({within} in the range, the rest is context); {compared} name a root \
         that these leaves give again; \
         {unsealed} events are after the last seal of their chain"
    ))
}

/// Ids of the recorders that recorded in the range, or anywhere in the package.
fn recorders<'c>(chains: &'c Chains<'_>, only_in_range: bool) -> BTreeSet<&'c str> {
    let counts = |chain: &Vec<Link<'_>>| !only_in_range || chain.iter().any(|link| link.in_range);
    chains.iter().filter(|(_, chain)| counts(chain)).map(|((id, _), _)| id.as_str()).collect()
}

fn chains<'d>(case: &'d Case<'_>) -> Result<Chains<'d>, Stop> {
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
        if link.sequence == 0 {
            let detail = format!("an epoch of {id} does not begin with RecorderStarted");
            return Err(fail_at("chains.start", at(), detail));
        }
        return Ok(());
    };
    if link.sequence != 0 {
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

/// Where the range proof stands in messages.
pub(super) fn conflicts(case: &Case<'_>) -> Result<Option<String>, Stop> {
    let population = need(&case.population, "the leaves")?;
    let conflicts: Vec<_> = population
        .iter()
        .filter(|decoded| matches!(decoded.leaf.event.kind, Some(Kind::RecorderConflict(_))))
        .map(|decoded| decoded.index.to_string())
        .collect();
    Ok((!conflicts.is_empty()).then(|| {
        format!(
            "the ledger refused a forked chain of a recorder: see leaves {} of {}",
            conflicts.join(", "),
            layout::LEAVES
        )
    }))
}
