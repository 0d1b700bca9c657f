//! Whether this machine lets this process run an executor at all, asked before one is started.
//!
//! Where io_uring is forbidden, the runtime panics with a text about old kernels; the true reasons are a seccomp
//! filter, as container engines install by default, a sysctl, or indeed an old kernel.

use std::io;

use crate::error::{Error, Result};

/// Asks the kernel for the smallest io_uring.
///
/// # Errors
/// Names what forbids it, and the remedy.
#[expect(unsafe_code, reason = "a system call that no crate wraps")]
pub(crate) fn io_uring() -> Result<()> {
    const PARAMS_SIZE: usize = 120;
    let mut params = [0u8; PARAMS_SIZE];
    // SAFETY: io_uring_setup takes a number of entries and a pointer to one `io_uring_params`, which has 120 bytes for
    // good, no pointers where all of it is zero, and no alignment that the kernel relies on. `params` is as large, and
    // borrowed for this call alone; the kernel keeps no reference to it.
    let descriptor = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    if descriptor >= 0 {
        // SAFETY: the call has just opened this descriptor, nobody else knows its number, and it is closed once.
        // Descriptors fit in a `c_int`.
        unsafe { libc::close(descriptor as libc::c_int) };
        return Ok(());
    }
    Err(refusal(&io::Error::last_os_error(), disabled_sysctl()))
}

fn refusal(error: &io::Error, disabled: Option<u8>) -> Error {
    let why = match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM | libc::EACCES), Some(1 | 2)) => {
            "the sysctl kernel.io_uring_disabled forbids it: set it to 0 \
             (`sysctl -w kernel.io_uring_disabled=0`), or, where it is 1, run with CAP_SYS_ADMIN or in the group \
             that kernel.io_uring_group names"
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "a security policy forbids it, most likely the seccomp filter that container engines install by \
             default: allow the system calls io_uring_setup, io_uring_enter and io_uring_register in the \
             container's seccomp profile (`--security-opt seccomp=PROFILE.json`)"
        }
        (Some(libc::ENOSYS), _) => {
            "the kernel has no io_uring, or a seccomp filter hides it: Linux 5.8 or later is needed, with \
             io_uring_setup, io_uring_enter and io_uring_register allowed in the seccomp profile of the container"
        }
        (Some(libc::ENOMEM), _) => {
            "the locked-memory limit is used up: raise it (`ulimit -l`, LimitMEMLOCK= of the service)"
        }
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            "the limit of open files is reached: raise it (`ulimit -n`, LimitNOFILE= of the service)"
        }
        _ => "see `man io_uring_setup` for the error",
    };
    Error::machine(format!("this process cannot use io_uring ({error}): {why}"))
}

fn disabled_sysctl() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_remedy() {
        for (code, disabled, remedy) in [
            (libc::EPERM, Some(2), "sysctl -w kernel.io_uring_disabled=0"),
            (libc::EPERM, Some(0), "--security-opt seccomp="),
            (libc::EACCES, None, "seccomp profile"),
            (libc::ENOSYS, None, "Linux 5.8"),
            (libc::ENOMEM, None, "ulimit -l"),
            (libc::EMFILE, None, "ulimit -n"),
        ] {
            let error = refusal(&io::Error::from_raw_os_error(code), disabled);
            assert!(error.to_string().contains(remedy), "{error}");
            assert_eq!(error.kind(), crate::ErrorKind::Machine);
        }
    }
}
