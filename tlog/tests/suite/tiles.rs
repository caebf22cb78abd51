//! Tile coordinates and contents, against the specification's examples and `tlog_tiles`.

use proptest::prelude::*;
use tlog::{
    Hash, NodeSource as _, TILE_WIDTH, Tile, TileKind, TileNodes, TreeSize, decode_bundle,
    encode_bundle, node_from_tile, tile_of, tiles_between,
};

use crate::tree::Tree;

fn hashes(level: u8) -> TileKind {
    TileKind::Hashes { level }
}

#[test]
fn paths_of_the_specification() {
    for (path, kind, index, width) in [
        ("tile/0/000", hashes(0), 0, 256),
        ("tile/0/x001/x234/067", hashes(0), 1_234_067, 256),
        ("tile/1/999.p/17", hashes(1), 999, 17),
        ("tile/2/x001/000.p/255", hashes(2), 1000, 255),
        ("tile/63/x018/x446/x744/x073/x709/x551/615", hashes(63), u64::MAX, 256),
        ("tile/entries/x001/234.p/8", TileKind::Entries, 1234, 8),
    ] {
        let tile = Tile { kind, index, width };
        assert_eq!(Tile::parse(path), Ok(tile));
        assert_eq!(tile.to_string(), path);
    }
}

#[test]
fn only_canonical_paths_are_tiles() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x000",
        "tile/0/001/002",
        "tile/0/x01/002",
        "tile/0/x001/x002",
        "tile/0/000/",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/data/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/ 00",
        "tile/0/+01",
        "tile/0/٠٠٠",
        "tile/0/../000",
    ] {
        assert!(Tile::parse(path).is_err(), "{path:?}");
    }
}

#[test]
fn tiles_of_a_tree_of_70000() {
    let size = TreeSize(70_000);
    let tiles: Vec<Tile> = tiles_between(TreeSize(0), size).collect();
    let count = |level, full| {
        tiles.iter().filter(|t| t.kind == hashes(level) && t.is_full() == full).count()
    };
    assert_eq!((count(0, true), count(0, false)), (273, 1));
    assert_eq!((count(1, true), count(1, false)), (1, 1));
    assert_eq!((count(2, true), count(2, false)), (0, 1));
    assert_eq!(tiles.len(), 277);
    assert_eq!(Tile::at(hashes(0), 273, size).unwrap().width, 112);
    assert_eq!(Tile::at(hashes(1), 1, size).unwrap().width, 17);
    assert_eq!(Tile::at(hashes(2), 0, size).unwrap().width, 1);
    assert_eq!(Tile::at(hashes(0), 274, size), None);
    assert_eq!(Tile::at(hashes(3), 0, size), None);
    assert_eq!(Tile::at(hashes(63), u64::MAX, TreeSize(u64::MAX)), None);
    assert_eq!(tiles_between(size, size).count(), 0);
    assert_eq!(tiles_between(size, TreeSize(0)).count(), 0);
}

/// Tiles are filled as the tree grows, and every node is read back from them.
#[test]
fn every_node_of_a_tree_is_in_its_tiles() {
    let size = 1000;
    let tree = Tree::new(size);
    let contents = |tile: &Tile| -> Result<Vec<u8>, String> {
        let TileKind::Hashes { level } = tile.kind else { return Err("no bundle here".into()) };
        let first = tile.index as usize * 256;
        let nodes = &tree.levels[usize::from(level) * 8][first..first + usize::from(tile.width)];
        Ok(nodes.iter().flat_map(|hash| hash.0).collect())
    };
    let nodes = TileNodes::new(TreeSize(size as u64), contents);
    for (level, row) in tree.levels.iter().enumerate() {
        for (index, hash) in row.iter().enumerate() {
            assert_eq!(nodes.node(level as u8, index as u64).as_ref(), Ok(hash));
        }
        assert!(nodes.node(level as u8, row.len() as u64).is_err());
    }
    let full = contents(&Tile::at(hashes(0), 1, TreeSize(size as u64)).unwrap()).unwrap();
    assert_eq!(node_from_tile(&full, 8, 0), Some(tree.levels[8][1]));
    assert_eq!(node_from_tile(&full, 8, 1), None);
    assert_eq!(node_from_tile(&full, 9, 0), None);
    assert_eq!(node_from_tile(&full, 0, 256), None);
    assert_eq!(node_from_tile(&full[1..], 0, 0), None);
    assert_eq!(node_from_tile(&[full.as_slice(), &[0; 32]].concat(), 0, 0), None);
    assert_eq!(node_from_tile(&[], 0, 0), None);
    assert_eq!(node_from_tile(&full, u8::MAX, u16::MAX), None);

    let short = TileNodes::new(TreeSize(size as u64), |_: &Tile| Ok::<_, String>([0; 32]));
    assert!(short.node(0, 0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn coordinates_agree_with_tlog_tiles(
        level in 0..64u8,
        index in (any::<u64>(), 0..64u32).prop_map(|(n, shift)| n >> shift),
        width in 1..=TILE_WIDTH,
        old in 0..200_000u64,
        grown in 0..70_000u64,
    ) {
        let theirs = tlog_tiles::Tile::new(8, level, index, u32::from(width), false);
        let tile = Tile { kind: hashes(level), index, width };
        prop_assert_eq!(theirs.path().replacen("tile/8/", "tile/", 1), tile.to_string());
        prop_assert_eq!(Tile::parse(&tile.to_string()), Ok(tile));

        let theirs: Vec<(u8, u64, u32)> = tlog_tiles::Tile::new_tiles(8, old, old + grown)
            .iter()
            .map(|tile| (tile.level(), tile.level_index(), tile.width()))
            .collect();
        let ours: Vec<(u8, u64, u32)> = tiles_between(TreeSize(old), TreeSize(old + grown))
            .map(|tile| match tile.kind {
                TileKind::Hashes { level } => (level, tile.index, u32::from(tile.width)),
                TileKind::Entries => panic!("a bundle among the hashes"),
            })
            .collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn nodes_lie_where_tlog_tiles_says(level in 0..40u8, index in 0..(1u64 << 20)) {
        let stored = tlog_tiles::stored_hash_index(level, index);
        let theirs = tlog_tiles::Tile::from_index(8, stored);
        let place = tile_of(level, index);
        prop_assert_eq!(place.tile_level, theirs.level());
        prop_assert_eq!(place.tile_index, theirs.level_index());
        // Theirs is the narrowest tile that has the node.
        prop_assert_eq!((u32::from(place.index) + 1) << place.level, theirs.width());
    }

    #[test]
    fn bundles_come_back(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..=256),
    ) {
        let bundle = encode_bundle(entries.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(decode_bundle(&bundle).unwrap(), entries);
        prop_assert!(decode_bundle(&bundle[..bundle.len() - 1]).map_or(true, |e| e.len() < 256));
    }
}

#[test]
fn bundle_bounds() {
    let long = vec![7; 65_535];
    let bundle = encode_bundle([long.as_slice(), b""]).unwrap();
    assert_eq!(&bundle[..2], [0xff, 0xff]);
    assert_eq!(decode_bundle(&bundle).unwrap(), [long.as_slice(), b""]);
    assert!(encode_bundle([vec![7; 65_536].as_slice()]).is_err());
    assert!(encode_bundle([]).is_err());
    assert!(encode_bundle([b"".as_slice(); 257]).is_err());
    assert_eq!(encode_bundle([b"".as_slice(); 256]).unwrap(), [0; 512]);
    assert!(decode_bundle(&[]).is_err());
    assert!(decode_bundle(&[0]).is_err());
    assert!(decode_bundle(&[0, 1]).is_err());
    assert!(decode_bundle(&[0; 514]).is_err());
    assert_eq!(Hash::LEN * 256, Tile::at(hashes(0), 0, TreeSize(256)).unwrap().hashes_len());
}
