//! [`Uring`]: whether this process may use io_uring, asked before an executor is started.
//!
//! Where io_uring is forbidden, the runtime panics with a text about old kernels. The cause is a seccomp filter, as container
//! engines install by default, or a sysctl, or an old kernel.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What the kernel's io_uring can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uring {
    /// `IORING_FEAT_…`
    pub(crate) features: u32,
    /// The numbers of the operations that it supports.
    pub(crate) operations: Vec<u8>,
    /// Whether it can serve the sockets of a shard: Linux 6.1 and later.
    pub(crate) serves_sockets: bool,
}

/// Sets up the smallest io_uring, asks what it supports, and enters it once: the three system calls that an executor needs.
///
/// # Errors
/// The error of the first call that is refused.
pub(super) fn uring() -> io::Result<Uring> {
    let (ring, features) = set_up(0)?;
    let operations = supported_operations(&ring)?;
    enter(&ring)?;
    let serves_sockets = set_up(SINGLE_ISSUER | DEFER_TASKRUN).is_ok();
    Ok(Uring { features, operations, serves_sockets })
}

#[expect(unsafe_code, reason = "a system call that no crate wraps")]
fn set_up(flags: u32) -> io::Result<(OwnedFd, u32)> {
    let mut params = [0_u32; PARAMS_SIZE / 4];
    if let Some(word) = params.get_mut(PARAMS_FLAGS) {
        *word = flags;
    }
    // SAFETY: io_uring_setup takes a number of entries and a pointer to one `io_uring_params`, which has 120 bytes for
    // good, an alignment of 4, and no pointers where all of it is zero. `params` is as large, and borrowed for this
    // call alone; the kernel keeps no reference to it.
    let descriptor = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    let Ok(descriptor @ 0..) = libc::c_int::try_from(descriptor) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the call has just opened this descriptor, and no other code knows its number.
    let ring = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok((ring, params.get(PARAMS_FEATURES).copied().unwrap_or_default()))
}

#[expect(unsafe_code, reason = "a system call that no crate wraps")]
fn supported_operations(ring: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut probe = [0_u64; (PROBE_HEADER + PROBE_ENTRY * PROBE_ENTRIES) / 8];
    // SAFETY: IORING_REGISTER_PROBE takes a pointer to an `io_uring_probe`, all zero, of 16 bytes and 8 for each of as
    // many entries as the last argument says, aligned to 4; the kernel writes within that, and keeps no reference to it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_PROBE,
            probe.as_mut_ptr(),
            PROBE_ENTRIES as u32,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // An entry: the number of the operation, a reserved byte, two bytes of flags, four reserved bytes.
    let entries = probe.iter().skip(PROBE_HEADER / 8).map(|entry| entry.to_ne_bytes());
    let supported =
        entries.filter(|[_, _, low, high, ..]| u16::from_ne_bytes([*low, *high]) & OPERATION_SUPPORTED != 0);
    Ok(supported.map(|[number, ..]| number).collect())
}

#[expect(unsafe_code, reason = "a system call that no crate wraps")]
fn enter(ring: &OwnedFd) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: submits nothing, waits for nothing, and has no signal mask: the kernel touches no memory of ours.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), 0_u32, 0_u32, 0_u32, nothing, 0_usize)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `sizeof(struct io_uring_params)`.
const PARAMS_SIZE: usize = 120;
/// The index of `flags` in it, in words of four bytes.
const PARAMS_FLAGS: usize = 2;
/// `IORING_SETUP_SINGLE_ISSUER`.
const SINGLE_ISSUER: u32 = 1 << 12;
/// `IORING_SETUP_DEFER_TASKRUN`. Kernels that have it also have the operations that sockets need.
const DEFER_TASKRUN: u32 = 1 << 13;
/// The index of `features` in it, in words of four bytes.
const PARAMS_FEATURES: usize = 5;
const REGISTER_PROBE: u32 = 8;
/// `sizeof(struct io_uring_probe)`, without its entries.
const PROBE_HEADER: usize = 16;
/// `sizeof(struct io_uring_probe_op)`.
const PROBE_ENTRY: usize = 8;
/// The kernel has no more operations.
const PROBE_ENTRIES: usize = 256;
/// `IO_URING_OP_SUPPORTED`.
const OPERATION_SUPPORTED: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_says_what_it_supports() {
        let uring = uring().expect("these tests run where io_uring does");
        // IORING_OP_NOP and IORING_OP_RECV are as old as what the runtime needs.
        assert!(uring.operations.contains(&0) && uring.operations.contains(&27), "{uring:?}");
        assert!(uring.operations.is_sorted() && uring.operations.len() < PROBE_ENTRIES);
        assert_ne!(uring.features, 0);
    }
}
