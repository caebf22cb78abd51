//! Numbers that write an integer in another way.

/// Longest integer that is written out.
const MAX_DIGITS: i64 = 40;

/// Fewest digits as written: with fewer it is a round number, and no identifier.
const MIN_WRITTEN: usize = 9;

/// The digits of a JSON number that is a whole number but does not look so: `4111111111111111.0`, `4.1e15`.
pub(super) fn written_out(raw: &str) -> Option<String> {
    let raw = raw.strip_prefix('-').unwrap_or(raw);
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if mantissa.len() == raw.len() && fraction.is_empty() {
        return None;
    }
    let exponent: i64 = exponent.parse().ok()?;
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let digits = [whole, fraction].concat();
    if digits.len() < MIN_WRITTEN {
        return None;
    }
    let length = usize::try_from(point).ok().filter(|_| point <= MAX_DIGITS)?;
    let (kept, cut) = digits.split_at(length.min(digits.len()));
    if cut.bytes().any(|digit| digit != b'0') {
        return None;
    }
    Some(format!("{kept:0<length$}").trim_start_matches('0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_written_out() {
        for (raw, expected) in [
            ("4111111111111111.0", Some("4111111111111111")),
            ("4111111111111111e0", Some("4111111111111111")),
            ("4.111111111111111e15", Some("4111111111111111")),
            ("-41111111111111110E-1", Some("4111111111111111")),
            ("0.04111000000e+5", Some("4111")),
            ("411111111e2", Some("41111111100")),
            ("4.2e15", None),
            ("4111111111111111", None),
            ("4111111111111111.5", None),
            ("4.1e0", None),
            ("1e41", None),
            ("1e-3", None),
            ("1e99999999999999999999", None),
            ("0.000000000", Some("")),
        ] {
            assert_eq!(written_out(raw).as_deref(), expected, "{raw}");
        }
    }
}
