//! How much a notification may hold.

use super::*;

#[test]
fn moves_beyond_their_bound_are_bad_items() {
    let most = 16_384;
    let moves: Vec<String> = (0..most + 10).map(|_| array(&["10.0.0.1:1", "7"])).collect();
    let moves: Vec<&str> = moves.iter().map(String::as_str).collect();
    let items = [
        Frame::Bulk("SMIGRATED".into()),
        Frame::Integer(1),
        frame(format!("{}\r\n", array(&moves)).as_bytes()),
    ];
    match parse(&items, PORT) {
        Parsed::Maintenance { notification: Notification::SlotsMigrated { moves, .. }, bad_items } => {
            assert_eq!((moves.len(), bad_items), (most, 10));
        }
        other => panic!("{other:?}"),
    }
}
