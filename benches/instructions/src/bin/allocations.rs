//! Runs the same scenarios with a counting allocator. `allocations SCENARIO ROUNDS` prints the number of commands, and of the
//! allocations of each part.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged, and so does what it gives.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller promises what is asked here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that it came from `alloc` with this layout, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller promises what is asked here.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, scenario, rounds] = &arguments[..] else { panic!("a scenario, and a number of rounds") };
    let mut parts = BTreeMap::from([("submit", 0), ("turn", 0), ("take", 0)]);
    let mut begun = ("", 0);
    let commands = hitless::bench::run(scenario, rounds.parse().expect("a number"), &mut |part| {
        let now = ALLOCATIONS.load(Ordering::Relaxed);
        if let Some(count) = parts.get_mut(begun.0) {
            *count += now - begun.1;
        }
        begun = (part, now);
    });
    println!("{commands} {} {} {}", parts["submit"], parts["turn"], parts["take"]);
}
