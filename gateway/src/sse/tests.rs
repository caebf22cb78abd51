use super::*;
use proptest::prelude::*;

fn split(chunks: &[&[u8]]) -> (Vec<Piece>, Option<Piece>) {
    let mut splitter = Splitter::new(1 << 20);
    let mut pieces = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece().unwrap() {
            pieces.push(piece);
        }
    }
    (pieces, splitter.rest())
}

/// The piece as it goes on with this data, when no detector finds anything.
fn with(piece: &Piece, data: &[u8]) -> Bytes {
    piece.written(&piece.frame(|_| true), data)
}

fn clean(piece: &Piece) -> Bytes {
    with(piece, piece.data.as_deref().unwrap_or_default())
}

fn text(bytes: &Option<Bytes>) -> Option<&str> {
    bytes.as_deref().map(|bytes| std::str::from_utf8(bytes).unwrap())
}

#[test]
fn events_of_every_line_ending() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!(
            "id: 7{end}event: message{end}data: {{\"a\":{end}data:1}}{end}{end}data:x{end}{end}"
        );
        let (pieces, rest) = split(&[stream.as_bytes()]);
        assert_eq!(text(&pieces[0].data), Some("{\"a\":\n1}"), "{end:?}");
        assert_eq!(text(&pieces[0].id), Some("7"));
        assert_eq!(text(&pieces[1].data), Some("x"));
        assert_eq!((pieces.len(), rest), (2, None));
    }
}

#[test]
fn comments_and_priming_events_have_no_data_and_come_at_once() {
    let (pieces, rest) =
        split(&[b": ping\n", b"\nid: 1\ndata:\n\n", b"id: 2\n\n", b":\r", b"\ndata: x"]);
    let written: Vec<_> = pieces.iter().map(clean).collect();
    assert_eq!(written, [&b":\n"[..], b"", b"id: 1\ndata: \n\n", b"id: 2\n\n", b":\n", b""]);
    assert!(pieces.iter().all(|piece| piece.data.is_none()));
    assert_eq!(text(&rest.unwrap().data), Some("x"));
}

#[test]
fn a_comment_inside_an_event_stays_there() {
    let (pieces, _) = split(&[b"data: x\n: inside\n\n"]);
    assert_eq!(pieces.len(), 1);
    assert_eq!(text(&pieces[0].data), Some("x"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    let (pieces, _) = split(&[b"\xef", b"\xbb\xbf", b"data: x\n\n"]);
    assert_eq!(text(&pieces[0].data), Some("x"));
    let (pieces, _) = split(&[b"\xef\xbb\xbf: c\ndata: x\n\n\xef\xbb\xbfdata: y\n\n"]);
    assert_eq!(&clean(&pieces[0])[..], b":\n");
    assert_eq!(text(&pieces[1].data), Some("x"));
    assert_eq!(text(&pieces[2].data), Some("y"), "some clients read it, so it is recorded");
    let (pieces, _) = split(&[b"\xef\xbbdata: x\n\n"]);
    assert_eq!((pieces.len(), &pieces[0].data), (1, &None));
}

#[test]
fn an_id_with_nul_is_none() {
    let (pieces, _) = split(&[b"id: a\0\ndata: x\n\n"]);
    assert_eq!(pieces[0].id, None);
}

#[test]
fn an_event_is_written_anew_with_other_data() {
    let (pieces, _) = split(&[b"id: 1\r\ndata: {\r\nevent: endpoint\r\ndata: }\r\n\r\n"]);
    let written = |data: &[u8]| with(&pieces[0], data);
    assert_eq!(&written(b"{}")[..], b"event: endpoint\nid: 1\ndata: {}\n\n");
    assert_eq!(&written(b"{\n}")[..], b"event: endpoint\nid: 1\ndata: {\ndata: }\n\n");
    let (_, rest) = split(&[b"data: x"]);
    assert_eq!(&with(&rest.unwrap(), b"y")[..], b"data: y\n");
}

#[test]
fn what_goes_on_beside_data_is_recorded() {
    for (event, recorded) in [
        ("data: x\n\n", None),
        ("event: message\ndata: x\n\n", None),
        (": c\n", None),
        ("event: x\nretry: 5\ndata:\n\n", None),
        ("event: other\ndata: x\n\n", Some(r#"{"event":"withheld"}"#)),
        ("event: endpoint\ndata: x\n\n", Some(r#"{"event":"endpoint"}"#)),
        ("retry: 05\ndata: x\n\n", Some(r#"{"retry":5}"#)),
        ("id: \"a\"\nretry: 5\nevent: x\n\n", Some(r#"{"id":"\"a\"","retry":5}"#)),
        ("id\ndata: x\n\n", Some(r#"{"id":""}"#)),
    ] {
        let (pieces, _) = split(&[event.as_bytes()]);
        let frame = pieces[0].frame(|_| true).recorded().map(Bytes::from);
        assert_eq!(text(&frame), recorded, "{event}");
    }
}

#[test]
fn only_what_can_be_recorded_goes_on() {
    let is_clean = |text: &str| !text.contains("hunter2");
    let long = format!("id: {}\nevent: {}\ndata: x\n\n", "7".repeat(2000), "e".repeat(65));
    let withheld = ": the id of this event is withheld, because it cannot be recorded\n";
    for (event, expected) in [
        (": hunter2\n", ":\n".to_owned()),
        ("data: x\n: hunter2\n\n", ":\ndata: x\n\n".to_owned()),
        ("secret: hunter2\nhunter2\ndata: x\n\n", "data: x\n\n".to_owned()),
        ("event: message\ndata: x\n\n", "event: message\ndata: x\n\n".to_owned()),
        ("event: hunter\ndata: x\n\n", "event: withheld\ndata: x\n\n".to_owned()),
        ("event: hunter\ndata:\n\n", String::new()),
        ("id:  _a/é:1 \ndata: x\n\n", "id:  _a/é:1 \ndata: x\n\n".to_owned()),
        ("id\ndata: x\n\n", "id: \ndata: x\n\n".to_owned()),
        ("id: hunter2\ndata: x\n\n", format!("{withheld}data: x\n\n")),
        (&long, format!("event: withheld\n{withheld}data: x\n\n")),
        ("id: hunter2\n\n", String::new()),
        ("retry: 5\n\n", String::new()),
        ("retry: 05\ndata: x\n\n", "retry: 5\ndata: x\n\n".to_owned()),
        ("retry: hunter2\ndata: x\n\n", "data: x\n\n".to_owned()),
        ("retry: 41111111111\ndata: x\n\n", "data: x\n\n".to_owned()),
    ] {
        let (pieces, _) = split(&[event.as_bytes()]);
        let data = pieces[0].data.clone().unwrap_or_default();
        let written = pieces[0].written(&pieces[0].frame(is_clean), &data);
        assert_eq!(std::str::from_utf8(&written).unwrap(), expected, "{event}");
    }
}

#[test]
fn the_bound_holds_for_whole_and_for_partial_pieces() {
    let mut splitter = Splitter::new(8);
    splitter.push(b"data: 1\n");
    assert_eq!(splitter.next_piece(), Ok(None));
    splitter.push(b"\n");
    assert_eq!(splitter.next_piece(), Err(TooLarge { limit: 8 }));
    let mut splitter = Splitter::new(8);
    splitter.push(b"data: 123");
    assert_eq!(splitter.next_piece(), Err(TooLarge { limit: 8 }));
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"data: {\"a\":1}"[..],
        b"data:",
        b"data",
        b"id: 3",
        b"retry: 1",
        b": c",
        b":",
        b"x",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\xef\xbb\xbf",
        b"\xff",
        b" ",
        b"event: message",
    ]);
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// What a stream says, however it is cut: the data of its events, and the ids that are text, as others are withheld.
fn said((pieces, rest): &(Vec<Piece>, Option<Piece>)) -> Vec<(Option<Bytes>, Option<Bytes>)> {
    let events = pieces.iter().chain(rest).map(|piece| (piece.data.clone(), text_id(piece)));
    events.filter(|event| *event != (None, None)).collect()
}

fn text_id(piece: &Piece) -> Option<Bytes> {
    piece.id.clone().filter(|id| std::str::from_utf8(id).is_ok())
}

/// The oracle: the whole stream at once, line by line, as the specification tells it.
fn dispatched(stream: &[u8]) -> Vec<Vec<u8>> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let unified: Vec<u8> = {
        let mut out = Vec::new();
        let mut bytes = stream.iter().peekable();
        while let Some(byte) = bytes.next() {
            if *byte == b'\r' {
                bytes.next_if(|next| **next == b'\n');
                out.push(b'\n');
            } else {
                out.push(*byte);
            }
        }
        out
    };
    let mut events = Vec::new();
    let mut data: Vec<Vec<u8>> = Vec::new();
    let mut lines: Vec<&[u8]> = unified.split(|byte| *byte == b'\n').collect();
    lines.pop();
    for line in lines {
        if line.is_empty() {
            let joined = std::mem::take(&mut data).join(&b'\n');
            if !joined.is_empty() {
                events.push(joined);
            }
            continue;
        }
        let mut line = line;
        while let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
            line = rest;
        }
        if line == b"data" {
            data.push(Vec::new());
        } else if let Some(value) = line.strip_prefix(b"data:") {
            data.push(value.strip_prefix(b" ").unwrap_or(value).to_vec());
        }
    }
    events
}

proptest! {
    #[test]
    fn chunking_changes_nothing(stream in stream(), cuts in prop::collection::vec(0usize..200, 0..8)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(&stream[from..cut]);
            from = cut;
        }
        chunks.push(&stream[from..]);
        prop_assert_eq!(said(&split(&chunks)), said(&split(&[&stream[..]])));
    }

    #[test]
    fn pieces_dispatch_what_the_specification_does(stream in stream()) {
        let (pieces, rest) = split(&[&stream[..]]);
        let data: Vec<Vec<u8>> =
            pieces.iter().filter_map(|piece| piece.data.as_ref()).map(|data| data.to_vec()).collect();
        prop_assert_eq!(&data, &dispatched(&stream));
        let written: Vec<u8> =
            pieces.iter().chain(&rest).flat_map(|piece| clean(piece).to_vec()).collect();
        prop_assert_eq!(data, dispatched(&written));
        prop_assert_eq!(said(&split(&[&written])), said(&(pieces, rest)));
    }

    #[test]
    fn replaced_data_is_read_back(stream in stream(), data in "[a-z{}\":\n]{1,20}") {
        let (pieces, _) = split(&[&stream[..]]);
        for piece in pieces.iter().filter(|piece| piece.data.is_some()) {
            let replaced = Piece::read(&with(piece, data.as_bytes()));
            prop_assert_eq!(replaced.data.as_deref(), Some(data.as_bytes()));
            prop_assert_eq!(replaced.id, text_id(piece));
        }
    }
}
