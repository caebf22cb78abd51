//! The page that tells a stranger what the package is and how to check it.

use tlog::VerifyingKey;
use verifier::Material;
use verifier::layout::sshsig;

use super::Coverage;
use crate::criteria::Mapping;
use crate::words::{counted, period};

/// `README.md`.
///
/// # Errors
/// When the parameters name no key as the signer.
pub(super) fn text(
    material: &Material,
    mapping: &Mapping,
    coverage: &Coverage,
) -> Result<String, String> {
    let parameters = &material.parameters;
    let signer = VerifyingKey::parse(&parameters.signer)
        .map_err(|error| format!("the signer of the parameters is no vkey: {error}"))?;
    Ok([
        head(material, coverage),
        contents(mapping),
        proves(coverage),
        NOT_PROVED.to_owned(),
        verification(&signer)?,
        further(parameters.criteria.first().map_or("CC6.1", String::as_str)),
    ]
    .concat())
}

fn head(material: &Material, coverage: &Coverage) -> String {
    let parameters = &material.parameters;
    let range = parameters.range;
    let open = if parameters.open {
        "\n**The period is OPEN**: the log had no leaf at or after its end yet; more may follow.\n"
    } else {
        ""
    };
    format!(
        "# Evidence of {origin}\n\
         \n\
         Period {period}, for the role `{role}`.\n\
         Leaves {first} to {last} of the log `{origin}`, proved against its checkpoint of {size} leaves: {of_period} of the \
         period and {boundary} that show its bounds. Made by Exhibit {version}.\n\
         {open}\n",
        origin = parameters.origin,
        period = period(parameters),
        role = parameters.role,
        first = range.start,
        last = range.end.saturating_sub(1),
        size = parameters.checkpoint.size,
        of_period = counted(coverage.period_leaves, "leaf", "leaves"),
        boundary = counted(coverage.boundary_leaves, "boundary leaf", "boundary leaves"),
        version = parameters.exhibit_version,
    )
}

fn contents(mapping: &Mapping) -> String {
    format!(
        "## What this is\n\
         \n\
         A BagIt 1.0 bag (RFC 8493). The log is an RFC 6962 Merkle tree; every leaf is an event that a recorder numbered \
         and chained to the one before. The lists of the criteria are answers; the leaves and proofs are the evidence.\n\
         \n\
         * `report.html`: for reading and printing. `columns.csv`: what each column of each table means. A column of a\n\
         \x20 list that it does not name under `criteria/` means there what it means in `population/events.*`.\n\
         * `population/`: the exact leaves of the range, decoded, with what was disclosed of them.\n\
         * `context/`: leaves from outside the range that the checks need, each with its inclusion proof.\n\
         * `criteria/<id>/`: population and exceptions, by the control mapping {name} {version}.\n\
         * `ipe/`: how each list was made: queries, parameters, row counts, and the control mapping itself, verbatim \
         (`mapping.yaml`, SHA-256 `{sha256}`).\n\
         * `coverage/`: when was recorded and when not. `custody/`: who read or exported the evidence, as \
         far as the exporter included it.\n\
         * `proofs/`: checkpoint, range proof, older checkpoints. `snapshots/`: the policies that were active.\n\
         * `verify/`: checks with stock tools.\n\
         \n",
        name = mapping.name,
        version = mapping.version,
        sha256 = mapping.sha256,
    )
}

fn proves(coverage: &Coverage) -> String {
    let sealed = match (coverage.seals, coverage.context_seals) {
        (0, 0) => {
            "No signature of a recorder over the head of its chain is shown (0 seals): that the chains are those of the \
             recorders rests on the ledger's word."
                .to_owned()
        }
        (0, after) => format!(
            "No recorder signed the head of its chain in the range; the exporter included {} from outside it, in \
             `context/`, over what comes before. {AFTER_THE_LAST}",
            counted(after, "seal", "seals")
        ),
        (within, after) => format!(
            "They signed the heads of their chains: {} in the range, {after} more in `context/`. {AFTER_THE_LAST}",
            counted(within, "seal", "seals")
        ),
    };
    format!(
        "## What it proves\n\
         \n\
         * These are all leaves of the period, exact and in order: none was removed, added or changed after it was \
         recorded (range proof; boundary leaves from before and after the period are inside).\n\
         * What is disclosed is what was committed to when it was recorded; what was erased or withheld is counted.\n\
         * Recorders left no gap in their numbering. {sealed}\n\
         * Every policy decision follows from what the policies saw and the policies that were active.\n\
         \n"
    )
}

const AFTER_THE_LAST: &str =
    "What comes after the last seal shown of a recorder carries no signature of it.";

const NOT_PROVED: &str = "## What it does not prove\n\
     \n\
     * That nobody walked around the gateway. Reconcile counts with the servers and the identity provider.\n\
     * That a compromised gateway told the truth.\n\
     * The time, beyond the operator's clock, unless witnesses cosigned checkpoints around the period.\n\
     * That the leaves from after the range in `context/` (accesses to the evidence, erasures, holds) are all of their kind: \
     the exporter chose them. `custody_omitted` in `ipe/parameters.json` is the exporter's word.\n\
     * That a control is adequate. It shows N exceptions of M; judging them is the auditor's work.\n\
     \n";

fn verification(signer: &VerifyingKey) -> Result<String, String> {
    Ok(format!(
        "## Verify in five commands\n\
         \n\
         In the folder that holds `bagit.txt`. Write nothing into that folder: a file that no manifest names is a failure.\n\
         Keys must come from a source outside this package: the trust file, here `../trust.txt` (C2SP tlog-policy lines, \
         `signer` and `recorder` lines). This package says that it was signed by\n\
         \n\
         ```\n\
         signer {vkey}\n\
         ```\n\
         \n\
         Compare that line with the `signer` line of your trust file, character by character (`grep -xF` does it below). If \
         they differ, stop: nothing further down counts. If they are equal, this is the same key as `ssh-keygen` wants it; \
         `exhibit verify --print-allowed-signers --trust ../trust.txt` makes it from the trust file alone:\n\
         \n\
         ```sh\n\
         grep -xF {grep} ../trust.txt && echo {allowed} > ../allowed_signers\n\
         ```\n\
         \n\
         Then\n\
         \n\
         ```sh\n\
         sha256sum -c --quiet tagmanifest-sha256.txt manifest-sha256.txt\n\
         ssh-keygen -Y verify -f ../allowed_signers -I {name} -n {namespace} \\\n\
         \x20 -s tagmanifest-sha256.txt.sig < tagmanifest-sha256.txt\n\
         bagit.py --validate .\n\
         duckdb < data/verify/root.sql      # or: python3 data/verify/verify.py --log <vkey>\n\
         exhibit verify . --trust ../trust.txt\n\
         ```\n\
         \n\
         `<vkey>` is what follows `log` in the trust file, which must come from elsewhere than this package.\n\
         \n\
         Only the last performs every check: commitments, chains, seals, decisions, and all derived files made again.\n\
         \n",
        vkey = signer,
        grep = quoted(&format!("signer {signer}")),
        allowed = quoted(&sshsig::allowed_signer(signer)?),
        name = quoted(signer.name()),
        namespace = sshsig::NAMESPACE,
    ))
}

fn further(criterion: &str) -> String {
    format!(
        "## Further\n\
         \n\
         One leaf by hand: `data/verify/inclusion.sql` for its path to the root; `protoc --decode=exhibit.v1.Entry \
         data/verify/entry.proto` for its fields; `b3sum --keyed` (key: the salt) for a commitment.\n\
         \n\
         The lists again, by stock DuckDB: `cat data/verify/views.sql data/ipe/queries.sql | duckdb`. The comments in \
         `views.sql` say in what spelling its answers differ.\n\
         \n\
         Samples are not in the package: draw them after receiving it, with a nonce of your own, into another folder:\n\
         \n\
         ```sh\n\
         exhibit sample . --criterion {criterion} --nonce <nonce> --size 25 --out ../sample\n\
         exhibit verify ../sample --of . --trust ../trust.txt\n\
         ```\n"
    )
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(seals: u64, context_seals: u64) -> Coverage {
        Coverage {
            recorders: vec!["gateway-1".into()],
            recorders_with_context: 1,
            servers: vec![],
            seals,
            context_seals,
            longest_silence_seconds: 0,
            period_leaves: 1,
            boundary_leaves: 2,
        }
    }

    #[test]
    fn seals_are_claimed_only_where_there_are_some() {
        assert!(proves(&coverage(0, 0)).contains("0 seals"));
        assert!(!proves(&coverage(0, 0)).contains("They signed"));
        assert!(!proves(&coverage(0, 3)).contains("They signed"));
        assert!(proves(&coverage(0, 3)).contains("after the last seal shown"));
        assert!(!proves(&coverage(0, 0)).contains("No recorder signed"));
        assert!(
            proves(&coverage(1, 0)).contains("They signed the heads of their chains: 1 seal in")
        );
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
