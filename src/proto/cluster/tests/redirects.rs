//! What follows from the replies of nodes that do not serve a command.

use super::servers::{range, slot};
use super::world::World;
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;

fn script(world: &mut World, port: u16, replies: &[&str]) {
    let scripted = world.servers.scripted.entry(port).or_default();
    scripted.extend(replies.iter().map(|reply| (*reply).to_owned()));
}

#[test]
fn cl_moved_patches_one_slot() {
    let mut world = World::ready();
    world.servers.give(slot("a"), 7001);
    // No node tells of it: the map may only change by the redirect.
    for port in [7000, 7001, 7002] {
        world.servers.views.insert(port, "*0\r\n".to_owned());
    }
    let moved = world.send("INCR a");
    let other = world.send("INCR foo");
    world.settle();
    let again = world.send("INCR a");
    world.settle();
    assert_eq!((world.reply(moved), world.reply(again)), (Frame::Integer(1), Frame::Integer(2)));
    assert_eq!(world.ports_of("INCR a"), [7002, 7001, 7001]);
    assert_eq!((world.reply(other), world.ports_of("INCR foo")), (Frame::Integer(1), vec![7002]));
}

#[test]
fn cl_moved_promotion() {
    let mut world = World::ready();
    world.servers.up.insert(7005);
    world.servers.owners.insert(10923, 7005);
    let ticket = world.send("INCR a");
    world.settle();
    assert_eq!(world.reply(ticket), Frame::Integer(1));
    assert_eq!(world.ports_of("INCR a"), [7002, 7005]);
    world.advance_by_timeouts(1500);
    assert_eq!(world.cluster.ready(), (3, 3), "the new primary, without the old one");
}

#[test]
fn cl_moved_to_self_hands_off() {
    let mut world = World::ready();
    let dialed = world.dialed.len();
    script(&mut world, 7002, &["MOVED 15495 10.0.0.1:7002"]);
    let ticket = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(1000);
    assert_eq!(world.reply(ticket), Frame::Integer(1));
    assert!(world.dialed[dialed..].contains(&7002), "its address is dialed again");
}

#[test]
fn cl_pingpong_redirects() {
    let mut world = World::ready();
    script(&mut world, 7002, &["MOVED 15495 10.0.0.1:7001", "MOVED 15495 10.0.0.1:7001"]);
    script(&mut world, 7001, &["MOVED 15495 10.0.0.1:7002", "MOVED 15495 10.0.0.1:7002"]);
    let ticket = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(100);
    assert_eq!(world.reply(ticket), Frame::Integer(1));
    assert_eq!(world.ports_of("INCR a"), [7002, 7001, 7002, 7001, 7002]);
}

#[test]
fn endless_redirects_end_with_the_last_one() {
    let mut world = World::ready();
    script(&mut world, 7002, &["MOVED 15495 10.0.0.1:7001"; 9]);
    script(&mut world, 7001, &["MOVED 15495 10.0.0.1:7002"; 9]);
    let ticket = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(1000);
    assert!(matches!(world.reply(ticket), Frame::Error(text) if text.starts_with(b"MOVED 15495")));
    assert_eq!(world.ports_of("INCR a").len(), 9);
}

#[test]
fn cl_ask_is_one_write() {
    let mut world = World::ready();
    world.servers.migrating.insert(slot("a"), (7002, 7001, ["a".to_owned()].into()));
    let asked = world.send("INCR a");
    // The other keys of the slot are at its owner still.
    let stays = world.submit(1, &["INCR {a}2"]);
    world.settle();
    assert_eq!((world.reply(asked), world.reply(stays)), (Frame::Integer(1), Frame::Integer(1)));
    let at_target: Vec<_> = world.servers.log.iter().filter(|(port, _)| *port == 7001).collect();
    assert_eq!(at_target, [&(7001, "ASKING".to_owned()), &(7001, "INCR a".to_owned())]);
    let again = world.send("INCR a");
    world.settle();
    assert_eq!(world.reply(again), Frame::Integer(2));
    assert_eq!(world.ports_of("INCR a"), [7002, 7001, 7002, 7001], "the owner of the slot stays the same");
}

#[test]
fn cl_tryagain_resends() {
    for reply in ["TRYAGAIN x", "CLUSTERDOWN x", "LOADING x", "MASTERDOWN x", "BUSY x"] {
        let mut world = World::ready();
        script(&mut world, 7002, &[reply, reply]);
        let ticket = world.send("INCR a");
        world.settle();
        assert!(world.delivered.done.is_empty(), "{reply}");
        world.advance_by_timeouts(20);
        assert_eq!(world.reply(ticket), Frame::Integer(1), "{reply}");
        assert_eq!(world.ports_of("INCR a").len(), 3);
    }
}

#[test]
fn state_that_does_not_pass_is_the_reply_after_the_timeout() {
    let mut world = World::ready();
    script(&mut world, 7002, &["CLUSTERDOWN x"; 1000]);
    let ticket = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(4900);
    assert!(world.delivered.done.is_empty());
    world.advance_by_timeouts(400);
    assert_eq!(world.reply(ticket), Frame::Error("CLUSTERDOWN x".into()));
}

#[test]
fn cl_readonly_hands_off() {
    let mut world = World::ready();
    world.servers.up.insert(7005);
    script(&mut world, 7002, &["READONLY x"]);
    world.servers.owners.insert(10923, 7005);
    let ticket = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(100);
    assert_eq!(world.reply(ticket), Frame::Integer(1));
    assert_eq!(world.ports_of("INCR a").last(), Some(&7005));
}

#[test]
fn cl_order_per_handle_and_slot() {
    let mut world = World::ready();
    let first = world.send("INCR a");
    let second = world.send("SET a 10");
    world.write_all();
    // The slot moves after the first two were executed.
    world.servers.give(slot("a"), 7001);
    let third = world.send("INCR a");
    world.write_all();
    world.read_all();
    world.act();
    // The third was redirected, and the map is patched. The fourth must not overtake it.
    let fourth = world.send("SET a 20");
    let other = world.submit(1, &["INCR {a}other"]);
    let fifth = world.send("INCR a");
    world.settle();
    let replies = [first, second, third, fourth, fifth].map(|ticket| world.reply(ticket));
    let ok = || Frame::Simple("OK".into());
    assert_eq!(replies, [Frame::Integer(1), ok(), Frame::Integer(11), ok(), Frame::Integer(21)]);
    assert_eq!(world.reply(other), Frame::Integer(1));
}

#[test]
fn redirect_holds_the_commands_of_other_handles_in_flight() {
    let mut world = World::ready();
    world.servers.give(slot("a"), 7001);
    let first = world.send("INCR a");
    let other = world.submit(1, &["INCR {a}other"]);
    world.write_all();
    // The client knows of the first redirect only. The other handle's command is at the old owner still.
    world.read_line(7002);
    world.act();
    let behind = world.submit(1, &["SET {a}other 10"]);
    world.write_all();
    world.settle();
    assert_eq!((world.reply(first), world.reply(other)), (Frame::Integer(1), Frame::Integer(1)));
    assert_eq!(world.reply(behind), Frame::Simple("OK".into()));
    assert_eq!(world.servers.data.get("{a}other"), Some(&10));
}

#[test]
fn view_holds_the_commands_in_flight_at_the_old_owner() {
    let mut world = World::ready();
    world.advance_by_timeouts(2000);
    world.servers.give(slot("a"), 7001);
    let other = world.submit(1, &["INCR {a}other"]);
    world.write_all();
    // The client hears of the move by the views of the other nodes, before it reads the redirect.
    script(&mut world, 7000, &["CLUSTERDOWN x"]);
    world.send("INCR b");
    for _ in 0..10 {
        world.act();
        world.write_all();
        world.read_from(&[7000, 7001]);
    }
    let behind = world.submit(1, &["SET {a}other 10"]);
    world.act();
    world.write_all();
    world.settle();
    assert_eq!((world.reply(other), world.reply(behind)), (Frame::Integer(1), Frame::Simple("OK".into())));
    assert_eq!(world.servers.data.get("{a}other"), Some(&10));
}

#[test]
fn command_that_is_lost_is_not_sent_again() {
    let mut world = World::ready();
    let written = world.send("INCR a");
    world.write_all();
    let unwritten = world.send("INCR a");
    world.servers.up.insert(7005);
    world.kill(7002);
    world.servers.owners.insert(10923, 7005);
    assert_eq!(world.delivered.outcome(written), Some(Outcome::Ambiguous));
    world.settle();
    world.advance_by_timeouts(300);
    assert_eq!(
        world.reply(unwritten),
        Frame::Integer(2),
        "the first was executed, and the second is not lost"
    );
    assert_eq!(world.ports_of("INCR a"), [7002, 7005]);
}

#[test]
fn target_that_is_not_allowed_is_never_dialed() {
    let mut world = World::ready();
    script(&mut world, 7002, &["MOVED 15495 127.0.0.1:7777", "MOVED 15495 169.254.169.254:80"]);
    let ticket = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(100);
    assert_eq!(world.reply(ticket), Frame::Integer(1), "it is sent to the owner that is known");
    assert!(!world.dialed.contains(&7777) && !world.dialed.contains(&80));
    for port in [7000, 7001, 7002] {
        world.servers.views.insert(port, format!("*1\r\n{}", range(0, 16383, "127.0.0.1", 7778)));
    }
    world.advance_by_timeouts(120_000);
    assert!(!world.dialed.contains(&7778));
}
