//! The bounds of a notification.

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

#[test]
fn unreadable_slots_are_bad_items_of_a_move() {
    let moves = array(&[&array(&["10.0.0.1:1", "7,x,9"]), "10.0.0.2:1 1,99999"]);
    let items =
        [Frame::Bulk("SMIGRATED".into()), Frame::Integer(1), frame(format!("{moves}\r\n").as_bytes())];
    match parse(&items, PORT) {
        Parsed::Maintenance { notification: Notification::SlotsMigrated { moves, .. }, bad_items } => {
            let slots: Vec<_> = moves.iter().flat_map(|moved| moved.slots.clone()).collect();
            assert_eq!((slots, bad_items), (vec![7..=7, 9..=9, 1..=1], 2));
        }
        other => panic!("{other:?}"),
    }
}
