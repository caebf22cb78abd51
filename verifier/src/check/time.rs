//! Who else than the log's operator vouches for the time of the period?

use std::ops::RangeInclusive;

use tlog::{Quorum, VerifiedCheckpoint};

use super::case::{Case, need};
use super::log;
use super::run::Found;
use crate::report::{Remark, Stop};

/// Longest time between a bound of the period and the cosignatures that bind it, in seconds: a day.
pub(super) const MAX_SLACK_SECONDS: u64 = 24 * 60 * 60;

/// Checkpoints that the quorum of witnesses cosigned around the period bind its leaves to times that are not the
/// operator's:
///
/// * one of at most `start + 1` leaves, cosigned at most [`MAX_SLACK_SECONDS`] before `from`: the log showed the witnesses
///   none of the leaves after the range's first until then;
/// * one of at least `end` leaves, cosigned at most that long after `to`: all leaves of the range were there by then, and
///   none was added, moved or given another time since.
///
/// When within these bounds a leaf was recorded is still the operator's word.
pub(super) fn check(case: &Case<'_>) -> Found {
    match attested(case) {
        Ok(Ok(detail)) => Ok(detail).into(),
        Ok(Err(why)) => {
            let remark = Remark {
                word: "TIME UNATTESTED",
                meaning: format!(
                    "the times are those of the log operator's clock, which nothing binds: {why}"
                ),
            };
            Found::from((Err(Stop::NotChecked(why)), Some(remark)))
        }
        Err(stop) => Err(stop).into(),
    }
}

/// What is attested, or why nothing is.
fn attested(case: &Case<'_>) -> Result<Result<String, String>, Stop> {
    let mut known = log::check_earlier(case)?;
    let parameters = need(&case.opened.parameters, "the parameters")?;
    let proof = need(&case.opened.proof, "the range proof")?;
    known.push(need(&case.checkpoint, "the checkpoint")?.clone());
    if case.trust.policy.quorum == Quorum::None {
        return Ok(Err("the trust file names no witnesses that would attest times".to_owned()));
    }
    const NS: u64 = 1_000_000_000;
    let from = parameters.from_ns() / NS;
    let to = parameters.to_ns().div_ceil(NS);
    let before = from.saturating_sub(MAX_SLACK_SECONDS)..=from;
    let after = to..=to.saturating_add(MAX_SLACK_SECONDS);
    let (most, least) = (proof.start.saturating_add(1), proof.end);
    let find = |times: &RangeInclusive<u64>, fits: &dyn Fn(u64) -> bool| {
        let fitting = known.iter().filter(|known| fits(known.checkpoint.size.0));
        fitting
            .filter_map(|known| Some((known.checkpoint.size, cosigned(case, known, times)?)))
            .next()
    };
    let Some((old, old_times)) = find(&before, &|size| size <= most) else {
        return Ok(Err(format!(
            "the package has no checkpoint of at most {most} leaves that the quorum cosigned from {} to {}, the day before \
             the period",
            time(*before.start()),
            time(*before.end())
        )));
    };
    let Some((new, new_times)) = find(&after, &|size| size >= least) else {
        return Ok(Err(format!(
            "the package has no checkpoint of at least {least} leaves that the quorum cosigned from {} to {}, the day \
             after the period",
            time(*after.start()),
            time(*after.end())
        )));
    };
    Ok(Ok(format!(
        "before the period {old} leaves were cosigned ({old_times}), after it {new} ({new_times}), each within {} h of it",
        MAX_SLACK_SECONDS / 3600
    )))
}

/// Who cosigned at such a time, and when; `None` unless these alone are a quorum.
fn cosigned(
    case: &Case<'_>,
    checkpoint: &VerifiedCheckpoint,
    times: &RangeInclusive<u64>,
) -> Option<String> {
    let timely: Vec<_> =
        checkpoint.cosigned.iter().filter(|(_, time)| times.contains(time)).collect();
    let is_quorum =
        case.trust.policy.quorum_satisfied(timely.iter().map(|(name, _)| name.as_str()));
    let said = timely.iter().map(|(name, at)| format!("{name} at {}", time(*at)));
    is_quorum.then(|| said.collect::<Vec<_>>().join(", "))
}

fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}
