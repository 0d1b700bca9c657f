//! [`Buffers`]: the memory that the kernel receives into, for all sockets of a ring.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Buffers of one size, and the list from which the kernel takes the next one.
///
/// ```text
///  spare ──▶ listed ── the kernel receives into it ──▶ taken by a socket ── its task has read it ──▶ spare
/// ```
///
/// The kernel takes listed buffers in turn, and may write into any of them while the ring is entered. So this memory has to
/// outlive every receive that was submitted.
///
/// Few buffers are listed at first, and more only when they run out. A buffer that was used a moment ago is still in the core's
/// cache: with all of them listed, 256 callers on 4 connections cost 5 % more CPU.
pub(super) struct Buffers {
    /// The list, and behind it the buffers.
    memory: NonNull<u8>,
    tail: u16,
    listed: usize,
    listed_max: usize,
    spare: Vec<u16>,
}

/// What one receive has filled: a part of a buffer.
#[derive(Clone, Copy)]
pub(super) struct Filled {
    buffer: u16,
    start: u32,
    end: u32,
}

impl Buffers {
    /// Allocates the buffers, and registers them with this ring.
    ///
    /// # Errors
    /// If the system refuses it.
    #[expect(unsafe_code, reason = "the kernel reads the list of buffers")]
    pub(super) fn register(with: &Submitter<'_>) -> io::Result<Buffers> {
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(LAYOUT) }).ok_or(io::ErrorKind::OutOfMemory)?;
        let spare = (0..BUFFERS).rev().collect();
        let mut buffers = Buffers { memory, tail: 0, listed: 0, listed_max: LISTED_AT_FIRST, spare };
        let list = memory.as_ptr() as u64;
        // SAFETY: the list has BUFFERS entries, begins a page, and lives until `Buffers` is dropped, after its ring.
        unsafe { with.register_buf_ring_with_flags(list, BUFFERS, GROUP, 0) }?;
        buffers.list();
        Ok(buffers)
    }

    /// The kernel has taken a buffer from the list, and filled so much of it.
    pub(super) fn take(&mut self, buffer: u16, count: usize) -> Filled {
        self.listed -= 1;
        self.list();
        Filled { buffer: buffer % BUFFERS, start: 0, end: count.min(BUFFER_SIZE) as u32 }
    }

    /// The kernel found the list empty.
    pub(super) fn list_more(&mut self) {
        self.listed_max = (self.listed_max * 2).min(BUFFERS.into());
        self.list();
    }

    /// Copies as much as fits: how much that was, and whether nothing is left.
    #[inline]
    pub(super) fn copy(&self, filled: &mut Filled, to: &mut [u8]) -> (usize, bool) {
        let bytes = self.bytes(*filled);
        let count = bytes.len().min(to.len());
        if let (Some(to), Some(bytes)) = (to.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(bytes);
        }
        filled.start += count as u32;
        (count, filled.start == filled.end)
    }

    /// The kernel may use the buffer again.
    #[inline]
    pub(super) fn give_back(&mut self, filled: Filled) {
        self.spare.push(filled.buffer);
        self.list();
    }

    /// Lists spare buffers, the last used one first.
    fn list(&mut self) {
        while self.listed < self.listed_max
            && let Some(buffer) = self.spare.pop()
        {
            self.listed += 1;
            self.append(buffer);
        }
    }

    #[expect(unsafe_code, reason = "the kernel has written these bytes")]
    fn bytes(&self, Filled { buffer, start, end }: Filled) -> &[u8] {
        // SAFETY: the offset is within the allocation, as `start` is within the buffer.
        let first = unsafe { self.memory.as_ptr().add(offset(buffer) + start as usize) };
        // SAFETY: the buffer has these bytes, and the kernel writes no more into it before it is listed again.
        unsafe { std::slice::from_raw_parts(first, (end - start) as usize) }
    }

    #[expect(unsafe_code, reason = "the kernel reads the list of buffers")]
    fn append(&mut self, buffer: u16) {
        let list = self.memory.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the index is within the list.
        let entry = unsafe { list.add(usize::from(self.tail % BUFFERS)) };
        // SAFETY: the kernel does not read an entry behind the tail, and nothing else refers to it.
        let entry = unsafe { &mut *entry };
        entry.set_addr((self.memory.as_ptr() as usize + offset(buffer)) as u64);
        entry.set_len(BUFFER_SIZE as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the first entry of the list is initialized.
        let tail = unsafe { BufRingEntry::tail(list) };
        // SAFETY: the tail is aligned, lives as long as the list, and is shared with the kernel as an atomic number.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    #[expect(unsafe_code, reason = "the kernel required the alignment of a page")]
    fn drop(&mut self) {
        // SAFETY: it was allocated with the same layout.
        unsafe { dealloc(self.memory.as_ptr(), LAYOUT) };
    }
}

fn offset(buffer: u16) -> usize {
    PAGE + usize::from(buffer) * STRIDE
}

/// The number by which receives name these buffers.
pub(super) const GROUP: u16 = 0;
/// A power of two. When all are taken, sockets are read without them.
pub(super) const BUFFERS: u16 = 64;
/// The replies to 400 small commands fit in one buffer.
pub(super) const BUFFER_SIZE: usize = 32 << 10;
const LISTED_AT_FIRST: usize = 4;
/// With a power of two, the first bytes of all buffers would compete for the same lines of the cache.
const STRIDE: usize = BUFFER_SIZE + 256;
/// The list fills the first page, or a part of it.
const PAGE: usize = 4096;
const LAYOUT: Layout = match Layout::from_size_align(PAGE + BUFFERS as usize * STRIDE, PAGE) {
    Ok(layout) => layout,
    Err(_) => panic!("the size is too large"),
};
const _: () = assert!(BUFFERS.is_power_of_two() && BUFFERS as usize * size_of::<BufRingEntry>() <= PAGE);
