//! The decoder allocates for bytes that have arrived, not for lengths that a header announces.

#![expect(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;
use crate::proto::resp::blob::READ_BUFFER_MAX;

/// Counts the bytes that the current thread holds, and their maximum.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: all calls and their results pass unchanged to and from the system's allocator. The default methods are built on
// these two. Counting allocates no memory, because the thread-locals need neither initialization nor a destructor. It does
// not unwind, because it adds up sizes that fit into memory together.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller guarantees a layout that is not empty, as the system's allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller guarantees that `alloc` returned the pointer for this layout, and `alloc` had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // The counters may be destroyed at the end of a thread.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

/// The result of `run`, and the most bytes that it held at any time.
pub(crate) fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = run();
    (result, usize::try_from(PEAK.get() - before).unwrap())
}

#[test]
fn headers_that_announce_much_cost_little() {
    let nested = [b"*16000000\r\n".repeat(8), b"$500000000\r\n".to_vec()].concat();
    for (wire, most) in [
        (&b"$536870912\r\nabc"[..], 1 << 10),
        (b"*16777216\r\n", 64 << 10),
        (b"%8000000\r\n$500000000\r\n", 64 << 10),
        (b"$?\r\n;500000000\r\nabc", 1 << 10),
        (&nested, 8 * (64 << 10)),
    ] {
        let (result, peak) = peak_of(|| decode(wire));
        assert_eq!(result, Ok(vec![]), "{}", wire.escape_ascii());
        assert!(peak <= most, "{}: {peak} bytes", wire.escape_ascii());
    }
}

#[test]
fn buffer_of_a_large_value_grows_with_the_arrived_bytes() {
    let mut decoder = decoder();
    assert_eq!(decoder.decode(&mut &b"$500000000\r\nabc"[..]), Ok(None));
    let mut arrived = 3;
    while arrived < 20_000_000 {
        let (room, peak) = peak_of(|| decoder.read_buffer().unwrap().len());
        assert!(room <= arrived.max(READ_BUFFER_MAX), "{arrived}: {room}");
        // While a buffer grows, both the old and the new one exist.
        assert!(peak <= 4 * arrived.max(READ_BUFFER_MAX), "{arrived}: {peak}");
        decoder.fill(room);
        assert_eq!(decoder.decode(&mut &b""[..]), Ok(None));
        arrived += room;
    }
}

#[test]
fn random_bytes_allocate_in_proportion_to_their_length() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let wire: Vec<u8> =
            (0..64).map(|_| b"$*+-:%~>|#_,(!=;.?\r\n0123456789"[random.usize(..30)]).collect();
        let (_, peak) = peak_of(|| decode(&wire).is_ok());
        assert!(peak <= 1 << 20, "{}: {peak} bytes", wire.escape_ascii());
    }
}

#[test]
fn small_value_costs_one_allocation_of_its_size() {
    let (frame, peak) = peak_of(|| {
        let mut decoder = decoder();
        decoder.decode(&mut &b"$5\r\nhello\r\n"[..]).unwrap()
    });
    assert_eq!(frame, Some(bulk("hello")));
    assert_eq!(peak, 5);
}
