//! What the recorders signed of their chains.

use std::collections::BTreeMap;

use proto::kind::Kind;
use proto::seal;
use proto::v1::RecorderSeal;
use tlog::Hash;

use super::case::{Case, need};
use super::chains::{Chains, EpochKey, Link, chains};
use super::run::Found;
use crate::report::{Checked, Remark, Stop, fail_at};

/// Every seal is signed by its recorder, names the head that the chain has, and a root that the log had.
pub(super) fn check(case: &Case<'_>) -> Found {
    let chains = match chains(case) {
        Ok(chains) => chains,
        Err(stop) => return Err(stop).into(),
    };
    let mut tally = Tally::default();
    let checked = seals(case, &chains, &mut tally);
    let remark = tally.unsealed(&chains);
    Found::from((checked, remark))
}

#[derive(Default)]
struct Tally<'c> {
    count: usize,
    within: usize,
    /// Seals whose sealed event is in the package.
    heads: usize,
    /// Seals whose root these leaves determine.
    roots: usize,
    /// The last event of each chain that its recorder's signature covers.
    covered: BTreeMap<&'c EpochKey, u64>,
}

fn seals<'c>(case: &Case<'_>, chains: &'c Chains<'_>, tally: &mut Tally<'c>) -> Checked {
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
    for (key, chain, link, seal) in seals() {
        check_signature(case, key, link, seal)?;
        let at = || format!("leaf {}", link.decoded.index);
        if seal.sequence >= link.sequence {
            return Err(fail_at("seals.sequence", at(), "the seal names an event after itself"));
        }
        if let Some(named) = chain.iter().find(|link| link.sequence == seal.sequence) {
            if named.hash[..] != seal.hash[..] {
                let detail =
                    format!("the recorder sealed another event as number {}", seal.sequence);
                return Err(fail_at("seals.chain", at(), detail));
            }
            tally.heads += 1;
        }
        tally.roots += usize::from(saw_this_log(&roots, link, seal)?);
        // The seal right after what it seals is vouched for by the signature that it carries.
        let last = if seal.sequence + 1 == link.sequence { link.sequence } else { seal.sequence };
        let covered = tally.covered.entry(key).or_default();
        *covered = (*covered).max(last);
        tally.count += 1;
        tally.within += usize::from(link.in_range);
    }
    let Tally { count, within, heads, roots, .. } = *tally;
    if count == 0 {
        return Err(Stop::NotChecked("the package shows no seal of a recorder".to_owned()));
    }
    Ok(format!(
        "{count} seals signed by their recorders ({within} in the range, the rest is context); {heads} name an event \
         that is here, with its hash; {roots} name a root that these leaves give again"
    ))
}

fn check_signature(
    case: &Case<'_>,
    (id, epoch): &EpochKey,
    link: &Link<'_>,
    seal: &RecorderSeal,
) -> Result<(), Stop> {
    let at = format!("leaf {}", link.decoded.index);
    let verified = need(&case.checkpoint, "the checkpoint")?;
    let mut keys = case.trust.recorder(id).peekable();
    if keys.peek().is_none() {
        let detail = format!(
            "the seal of {id} cannot be checked: the trust file does not know this recorder"
        );
        return Err(fail_at("recorders.unknown", at, detail));
    }
    if !keys.any(|key| seal::verify(seal, &verified.checkpoint.origin, id, *epoch, key)) {
        let detail = format!("the seal is not signed by a trusted key of {id}");
        return Err(fail_at("seals.signature", at, detail));
    }
    Ok(())
}

/// Is the root that a recorder saw the one that the log had? `false` when these leaves do not tell.
fn saw_this_log(
    roots: &BTreeMap<u64, Hash>,
    link: &Link<'_>,
    seal: &RecorderSeal,
) -> Result<bool, Stop> {
    let size = seal.checkpoint_size;
    let Some(root) = roots.get(&size).filter(|_| size > 0) else { return Ok(false) };
    if root.as_bytes()[..] == seal.checkpoint_root[..] {
        return Ok(true);
    }
    let detail =
        format!("the recorder saw another log: its checkpoint of {size} leaves has another root");
    Err(fail_at("seals.split_view", format!("leaf {}", link.decoded.index), detail))
}

impl Tally<'_> {
    /// Are there events of the range that no shown seal covers?
    fn unsealed(&self, chains: &Chains<'_>) -> Option<Remark> {
        let is_uncovered = |key: &EpochKey, link: &Link<'_>| {
            self.covered.get(key).is_none_or(|last| link.sequence > *last)
        };
        let (mut events, mut unsealed) = (0, 0);
        for (key, chain) in chains {
            for link in chain.iter().filter(|link| link.in_range) {
                events += 1;
                unsealed += usize::from(is_uncovered(key, link));
            }
        }
        (unsealed > 0).then(|| Remark {
            word: "UNSEALED",
            meaning: format!(
                "{unsealed} of {events} events of the range stand after the last seal of their chain that the package \
                 shows, or their chain has none here: that their recorder sent just these, and no more, no signature of \
                 it says"
            ),
        })
    }
}
