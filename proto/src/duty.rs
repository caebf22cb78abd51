//! Which recorder may say what: a ledger takes from each only what its part of the system can know.

use std::str::FromStr;

use crate::kind::Kind;

/// What a recorder is, as the ledger's configuration registers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// The ledger itself: keys, heads, forks, the clock, erasures, holds, and who reads at its own doors.
    Ledger,
    /// A gateway: sessions, exchanges, approvals, policies, tools.
    Gateway,
    /// A query node: who asked for what there.
    Query,
    /// An exporter with a recorder of its own: who exported what.
    Evidence,
    /// Any part but the ledger: for a key that more than one part uses, or a part of a later version.
    Any,
}

impl Duty {
    /// Those that a configuration may give.
    pub const GIVEN: [Duty; 4] = [Duty::Gateway, Duty::Query, Duty::Evidence, Duty::Any];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Duty::Ledger => "ledger",
            Duty::Gateway => "gateway",
            Duty::Query => "query",
            Duty::Evidence => "evidence",
            Duty::Any => "any",
        }
    }

    /// May it record events of this kind?
    pub fn may_record(self, kind: &Kind) -> bool {
        match kind {
            // About itself.
            Kind::RecorderStarted(_) | Kind::RecorderSeal(_) | Kind::RecorderStopped(_) => true,
            // What every door sees.
            Kind::EvidenceAccessed(_) => self != Duty::Gateway,
            Kind::AuthenticationFailed(_) => true,
            // What only the ledger can know or decide.
            Kind::KeyIntroduced(_)
            | Kind::KeyRetired(_)
            | Kind::DisclosureErased(_)
            | Kind::HoldPlaced(_)
            | Kind::HoldReleased(_)
            | Kind::ClockStepped(_)
            | Kind::RecorderConflict(_)
            | Kind::LogMark(_)
            | Kind::LogContinued(_) => self == Duty::Ledger,
            // What stands in the way of a call.
            Kind::SessionOpened(_)
            | Kind::SessionClosed(_)
            | Kind::RequestReceived(_)
            | Kind::ResponseReturned(_)
            | Kind::StreamMessage(_)
            | Kind::CallDenied(_)
            | Kind::CallBlocked(_)
            | Kind::ApprovalRequested(_)
            | Kind::ApprovalGranted(_)
            | Kind::ApprovalDenied(_)
            | Kind::ApprovalExpired(_)
            | Kind::CallReleased(_)
            | Kind::Cancelled(_)
            | Kind::ToolInventoryObserved(_)
            | Kind::PolicyActivated(_) => matches!(self, Duty::Gateway | Duty::Any),
        }
    }
}

impl std::fmt::Display for Duty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No duty that a configuration may give.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no such duty of a recorder: it is gateway, query, evidence or any")]
pub struct UnknownDuty;

impl FromStr for Duty {
    type Err = UnknownDuty;

    fn from_str(name: &str) -> Result<Self, UnknownDuty> {
        Duty::GIVEN.into_iter().find(|duty| duty.as_str() == name).ok_or(UnknownDuty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn only_the_ledger_says_what_only_it_can_know() {
        let own = [
            Kind::LogMark(v1::LogMark::default()),
            Kind::KeyIntroduced(v1::KeyIntroduced::default()),
            Kind::KeyRetired(v1::KeyRetired::default()),
            Kind::RecorderConflict(v1::RecorderConflict::default()),
            Kind::ClockStepped(v1::ClockStepped::default()),
            Kind::DisclosureErased(v1::DisclosureErased::default()),
            Kind::HoldPlaced(v1::HoldPlaced::default()),
            Kind::HoldReleased(v1::HoldReleased::default()),
            Kind::LogContinued(v1::LogContinued::default()),
        ];
        for kind in own {
            assert!(Duty::Ledger.may_record(&kind));
            for duty in Duty::GIVEN {
                assert!(!duty.may_record(&kind), "{duty}: {}", crate::kind::kind_name(&kind));
            }
        }
    }

    #[test]
    fn each_says_what_it_is_there_for() {
        let call = Kind::RequestReceived(v1::RequestReceived::default());
        let access = Kind::EvidenceAccessed(v1::EvidenceAccessed::default());
        let says = |duty: Duty| (duty.may_record(&call), duty.may_record(&access));
        assert_eq!(says(Duty::Gateway), (true, false));
        assert_eq!(says(Duty::Query), (false, true));
        assert_eq!(says(Duty::Evidence), (false, true));
        assert_eq!(says(Duty::Ledger), (false, true));
        assert_eq!(says(Duty::Any), (true, true));
        for duty in Duty::GIVEN.into_iter().chain([Duty::Ledger]) {
            assert!(duty.may_record(&Kind::RecorderSeal(v1::RecorderSeal::default())));
        }
        assert_eq!("query".parse(), Ok(Duty::Query));
        assert_eq!("ledger".parse::<Duty>(), Err(UnknownDuty));
    }
}
