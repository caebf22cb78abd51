//! The write-ahead log, looked at before the engine opens it.
//!
//! The engine drops a record that the end of a log cuts short: a commit whose sync did not return, of which nobody was
//! told. It takes a damaged length near the end for the same, and then drops commits that were acknowledged, for good,
//! since it writes the rest into tables and removes the log; and a damaged type can keep it reading one record for ever.
//! So whether an end is torn or damaged is found out here: behind a torn end there is nothing, and every other record is
//! whole.
//!
//! The form is RocksDB's: blocks of 32 KiB, in which records stand one behind the other, each a header (masked CRC-32C u32
//! LE over type and content, length u16 LE, type u8) and its content; fewer than 7 bytes at the end of a block are none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// Types that stand only in reused logs, which this store never has.
const REUSED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Where a log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}, byte {offset}: {what}")]
pub(crate) struct WalDamage {
    /// The file's name.
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

/// The first damage of each log of a store.
///
/// # Errors
/// When a log cannot be read.
pub(crate) fn damages(store: &Path) -> io::Result<Vec<WalDamage>> {
    let mut logs = Vec::new();
    if !store.is_dir() {
        return Ok(Vec::new());
    }
    for file in fs::read_dir(store)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
    logs.sort();
    let mut damages = Vec::new();
    for log in logs {
        // Twice, since a ledger that runs may be writing it just now.
        let (first, again) = (damage(&log)?, damage(&log)?);
        damages.extend(first.filter(|first| again.as_ref() == Some(first)));
    }
    Ok(damages)
}

fn damage(path: &Path) -> io::Result<Option<WalDamage>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    damage_in(name, File::open(path)?)
}

/// The first damage of a log of this name.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn damage_in(name: String, mut log: impl Read) -> io::Result<Option<WalDamage>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut start = 0;
    let mut zeros_from = None;
    loop {
        block.clear();
        log.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(None);
        }
        let damaged = |at: usize, what| {
            Ok(Some(WalDamage { name: name.clone(), offset: start + at as u64, what }))
        };
        if let Some(zeros) = zeros_from {
            // Room that was taken and never written.
            if block.iter().any(|byte| *byte != 0) {
                let what = "zeros stand where records were: more follows behind them";
                return Ok(Some(WalDamage { name, offset: zeros, what }));
            }
        } else {
            match scan(&block, 0) {
                End::Whole => {}
                End::Zeros(at) => zeros_from = Some(start + at as u64),
                End::Damaged(at, what) => return damaged(at, what),
                End::CutShort(at) if block.len() == BLOCK_BYTES => {
                    return damaged(at, "a record is longer than its block");
                }
                End::CutShort(at) => {
                    // A torn record lacks bytes, and behind it no record is whole up to the end of the file.
                    let behind = at + 1..(block.len() + 1).saturating_sub(HEADER_BYTES);
                    let is_whole = |from| matches!(scan(&block, from), End::Whole);
                    if is_whole_but_for_its_length(&block[at..]) || behind.into_iter().any(is_whole)
                    {
                        return damaged(at, "the length of a record is not what was written");
                    }
                }
            }
        }
        start += block.len() as u64;
    }
}

/// How the records of a block end.
enum End {
    /// At its end.
    Whole,
    /// In zeros up to its end.
    Zeros(usize),
    /// In a record that is longer than what is left.
    CutShort(usize),
    Damaged(usize, &'static str),
}

/// Follows the records of a block from a place where one begins.
fn scan(block: &[u8], from: usize) -> End {
    let mut at = from;
    while at < block.len() {
        let rest = &block[at..];
        let Some((header, content)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            // The trailer of a block, or the first bytes of a header.
            let is_trailer = block.len() == BLOCK_BYTES;
            return if is_trailer { End::Whole } else { End::CutShort(at) };
        };
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if kind == 0 && length == 0 {
            let is_zero = rest.iter().all(|byte| *byte == 0);
            let what = "zeros stand where a record was";
            return if is_zero { End::Zeros(at) } else { End::Damaged(at, what) };
        }
        if REUSED.contains(&kind) {
            return End::Damaged(at, "the type of a record is none that the ledger writes");
        }
        let Some(content) = content.get(..length) else { return End::CutShort(at) };
        if !has_checksum([c0, c1, c2, c3], kind, content) {
            return End::Damaged(at, "a record does not have its checksum");
        }
        at += HEADER_BYTES + length;
    }
    End::Whole
}

/// The checksum does not cover the length: content up to the end of the file that has it is all of the content.
fn is_whole_but_for_its_length(record: &[u8]) -> bool {
    let Some((header, content)) = record.split_first_chunk::<HEADER_BYTES>() else { return false };
    let [c0, c1, c2, c3, _, _, kind] = *header;
    has_checksum([c0, c1, c2, c3], kind, content)
}

/// RocksDB masks checksums.
fn has_checksum(masked: [u8; 4], kind: u8, content: &[u8]) -> bool {
    let checksum = u32::from_le_bytes(masked).wrapping_sub(0xa282_ead8).rotate_left(15);
    crc32c::crc32c_append(crc32c::crc32c(&[kind]), content) == checksum
}
