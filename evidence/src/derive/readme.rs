//! The page that tells a stranger what the package is and how to check it.

use verifier::Material;

use crate::criteria::Mapping;

/// `README.md`.
pub(super) fn text(material: &Material, mapping: &Mapping) -> String {
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
         Period {from} (inside) to {to} (outside), for the role `{role}`.\n\
         Leaves {first} to {last} of the log `{origin}`, proved against its checkpoint of {size} leaves.\n\
         {open}\n\
         ## What this is\n\
         \n\
         A BagIt 1.0 bag (RFC 8493), made by Exhibit {version}. The log is an RFC 6962 Merkle tree; every leaf is an \
         event that a recorder signed into its own chain. The lists of the criteria are answers; the leaves and proofs \
         are the evidence.\n\
         \n\
         * `report.html`: for reading and printing.\n\
         * `population/`: the exact leaves of the period, decoded, with what was disclosed of them.\n\
         * `context/`: leaves from outside the period that the checks need, each with its inclusion proof.\n\
         * `criteria/<id>/`: population and exceptions, by control mapping {mapping} {mapping_version}.\n\
         * `ipe/`: how each list was made: queries, parameters, row counts.\n\
         * `coverage/`: when was recorded and when not. `custody/`: who read or exported the evidence.\n\
         * `proofs/`: checkpoint, range proof, older checkpoints. `snapshots/`: the policies that were active.\n\
         * `verify/`: checks with stock tools.\n\
         \n\
         ## What it proves\n\
         \n\
         * These are all leaves of the period, exact and in order: none was removed, added or changed after it was \
         recorded (range proof; boundary leaves from before and after the period are inside).\n\
         * What is disclosed is what was committed to when it was recorded; what was erased or withheld is counted.\n\
         * Recorders left no gap in their numbering, and signed the heads of their chains.\n\
         * Every policy decision follows from what the policies saw and the policies that were active.\n\
         \n\
         ## What it does not prove\n\
         \n\
         * That nobody walked around the gateway. Reconcile counts with the servers and the identity provider.\n\
         * That a compromised gateway told the truth.\n\
         * The time, beyond the operator's clock, unless witnesses cosigned checkpoints around the period.\n\
         * That a control is adequate. It shows N exceptions of M; judging them is the auditor's work.\n\
         \n\
         ## Verify in five commands\n\
         \n\
         In the folder that holds `bagit.txt`. Keys must come from a source outside this package: `trust.txt` \
         (C2SP tlog-policy lines, `signer` and `recorder` lines), and `allowed_signers` made from its `signer` line.\n\
         \n\
         ```sh\n\
         sha256sum -c --quiet tagmanifest-sha256.txt manifest-sha256.txt\n\
         ssh-keygen -Y verify -f allowed_signers -I <signer> -n exhibit-package@v1 \\\n\
         \x20 -s tagmanifest-sha256.txt.sig < tagmanifest-sha256.txt\n\
         bagit.py --validate .\n\
         duckdb < data/verify/root.sql      # or: python3 data/verify/verify.py --log <vkey>\n\
         exhibit verify . --trust trust.txt\n\
         ```\n\
         \n\
         Only the last performs every check: commitments, chains, seals, decisions, and all derived files made again.\n\
         One leaf by hand: `data/verify/inclusion.sql` for its path to the root; `protoc --decode=exhibit.v1.Entry \
         data/verify/entry.proto` for its fields; `b3sum --keyed` (key: the salt) for a commitment.\n\
         \n\
         Samples are not in the package: draw them after receiving it, with a nonce of your own:\n\
         `exhibit sample . --criterion {criterion} --nonce <nonce> --size 25 --out sample`.\n",
        origin = parameters.origin,
        from = parameters.from,
        to = parameters.to,
        role = parameters.role,
        first = range.start,
        last = range.end.saturating_sub(1),
        size = parameters.checkpoint.size,
        version = parameters.exhibit_version,
        mapping = mapping.name,
        mapping_version = mapping.version,
        criterion = parameters.criteria.first().map_or("CC6.1", String::as_str),
    )
}
