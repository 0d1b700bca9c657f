//! What is announced is not what is allocated.

#![expect(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;
use crate::proto::resp::blob::SPACE_FIRST;

/// Counts what the current thread has allocated and not yet freed, and the most that it ever was.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged, and so does what it gives; the methods that are not here
// are made of these two. Counting allocates nothing, since the thread-locals need neither initialization nor a
// destructor, and does not unwind: it adds up sizes of what fits in memory together.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller promises that the layout is not empty, which is all that is asked here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller promises that the pointer came from `alloc` with this layout, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // At a thread's end the counters may be gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

/// The most that `run` has allocated at any time.
pub(super) fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = run();
    (result, usize::try_from(PEAK.get() - before).unwrap())
}

#[test]
fn headers_that_promise_much_cost_little() {
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
fn room_for_a_large_value_grows_with_what_has_arrived() {
    let mut decoder = decoder();
    assert_eq!(decoder.decode(&mut &b"$500000000\r\nabc"[..]), Ok(None));
    let mut arrived = 3;
    while arrived < 20_000_000 {
        let (room, peak) = peak_of(|| decoder.read_buffer().unwrap().len());
        assert!(room <= arrived.max(SPACE_FIRST), "{arrived}: {room}");
        // While a buffer grows, the old one and the new one exist.
        assert!(peak <= 4 * arrived.max(SPACE_FIRST), "{arrived}: {peak}");
        decoder.fill(room);
        assert_eq!(decoder.decode(&mut &b""[..]), Ok(None));
        arrived += room;
    }
}

#[test]
fn rubbish_allocates_in_proportion_to_its_length() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let wire: Vec<u8> =
            (0..64).map(|_| b"$*+-:%~>|#_,(!=;.?\r\n0123456789"[random.usize(..30)]).collect();
        let (_, peak) = peak_of(|| decode(&wire).is_ok());
        assert!(peak <= 1 << 20, "{}: {peak} bytes", wire.escape_ascii());
    }
}

/// The general case with room to spare: see also the limit of what one aggregate reserves.
#[test]
fn a_small_value_costs_one_allocation_of_its_size() {
    let (frame, peak) = peak_of(|| {
        let mut decoder = decoder();
        decoder.decode(&mut &b"$5\r\nhello\r\n"[..]).unwrap()
    });
    assert_eq!(frame, Some(bulk("hello")));
    assert_eq!(peak, 5);
}
