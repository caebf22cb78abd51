//! A witness is killed, and its power cut, at every call that changes its disk.

use anyhow::{Result, bail, ensure};
use tests::disk::{Disk, Fault, Unsynced};
use tests::system::ORIGIN;
use tlog::{SigningKey, TreeSize};

use super::house::{Leaves, Witness};

#[test]
fn a_witness_killed_at_any_call_forgets_nothing_that_it_vouched_for() -> Result<()> {
    tests::run(async {
        let key = SigningKey::from_seed(ORIGIN, [7; 32])?;
        let vkey = key.verifying_key().to_string();
        let (ours, other) = (Leaves(b'a'), Leaves(b'b'));
        let note = |leaves: &Leaves, size| leaves.checkpoint(size).sign(&key);
        let mut killed_after_it_was_kept = 0;
        for at in 1.. {
            let dir = tempfile::tempdir()?;
            let mut witness = Witness::start(dir.path(), "w1", &vkey).await?;
            let answer = witness.submit(TreeSize(0), "", &note(&ours, 5)).await?;
            ensure!(answer.0 == 200, "{answer:?}");
            witness.kill()?;
            let disk = Disk::below(dir.path())?;
            witness.spawn(&disk.environment(at, Fault::KillAfter)?).await?;
            disk.arm()?;
            let answer = witness.submit(TreeSize(5), &ours.proof(5, 9), &note(&ours, 9)).await;
            let is_vouched_for = answer.is_ok_and(|(status, _)| status == 200);
            let calls = disk.calls()?;
            let is_killed = !is_vouched_for;
            ensure!(is_killed == (calls.len() == at), "{calls:?} at {at}");
            witness.process = None;

            // What a kill leaves, and what a power cut does.
            let state = witness.dir.join("state");
            let after_cut = witness.dir.join("after-cut");
            disk.after_power_cut(&state, Unsynced::Lost, &after_cut)?;
            for cut in [false, true] {
                if cut {
                    std::fs::remove_dir_all(&state)?;
                    std::fs::rename(&after_cut, &state)?;
                }
                witness.spawn(&[]).await?;
                let (status, size) = witness.submit(TreeSize(0), "", &note(&ours, 11)).await?;
                let about = format!("{size:?} after {calls:?}, power cut: {cut}");
                ensure!(status == 409, "{status} {about}");
                let known = match (&*size, is_vouched_for) {
                    ("9\n", _) => 9,
                    ("5\n", false) => 5,
                    _ => bail!("it forgot: {about}"),
                };
                killed_after_it_was_kept += usize::from(known == 9 && is_killed);
                // No other tree of that size, whether its cosignature got out or not; ours goes on.
                let split = witness.submit(TreeSize(known), "", &note(&other, known)).await?;
                ensure!(split.0 == 422, "{split:?} {about}");
                let proof = ours.proof(known, known + 1);
                let next = note(&ours, known + 1);
                let next = witness.submit(TreeSize(known), &proof, &next).await?;
                ensure!(next.0 == 200, "{next:?} {about}");
                witness.kill()?;
            }
            if is_vouched_for {
                println!("killed after each of {} calls: {calls:?}", calls.len());
                ensure!(calls.len() >= 4, "is the layer loaded?");
                ensure!(killed_after_it_was_kept > 0, "never between keeping and answering");
                return Ok(());
            }
        }
        bail!("it was never left alone")
    })
}

/// The test of the test above: with a sync missing it must see the loss.
#[test]
fn a_witness_on_a_disk_that_lies_is_found_out() -> Result<()> {
    tests::run(async {
        let key = SigningKey::from_seed(ORIGIN, [7; 32])?;
        let ours = Leaves(b'a');
        let dir = tempfile::tempdir()?;
        let vkey = key.verifying_key().to_string();
        let mut witness = Witness::start(dir.path(), "w1", &vkey).await?;
        let note = |size| ours.checkpoint(size).sign(&key);
        ensure!(witness.submit(TreeSize(0), "", &note(5)).await?.0 == 200, "the first");
        witness.kill()?;
        let disk = Disk::below(dir.path())?;
        witness.spawn(&disk.lying_environment("/state")?).await?;
        let answer = witness.submit(TreeSize(5), &ours.proof(5, 9), &note(9)).await?;
        ensure!(answer.0 == 200, "{answer:?}");
        witness.kill()?;
        let state = witness.dir.join("state");
        disk.after_power_cut(&state, Unsynced::Lost, &witness.dir.join("after-cut"))?;
        std::fs::remove_dir_all(&state)?;
        std::fs::rename(witness.dir.join("after-cut"), &state)?;
        witness.spawn(&[]).await?;
        let (status, size) = witness.submit(TreeSize(0), "", &note(11)).await?;
        ensure!((status, &*size) == (409, "5\n"), "nothing was lost: {status} {size:?}");
        Ok(())
    })
}
