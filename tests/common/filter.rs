//! A system call filter such as container engines install: it forbids io_uring.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Loads the number of the call, jumps to the last instruction for one of the three, and allows all others.
const PROGRAM: [libc::sock_filter; 6] = [
    instruction(0x20, 0, 0, 0),
    instruction(0x15, 3, 0, libc::SYS_io_uring_setup as u32),
    instruction(0x15, 2, 0, libc::SYS_io_uring_enter as u32),
    instruction(0x15, 1, 0, libc::SYS_io_uring_register as u32),
    instruction(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    instruction(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
];

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Lets the kernel refuse io_uring to this command.
#[expect(unsafe_code, reason = "the standard library installs no filters")]
pub fn without_io_uring(command: &mut Command) {
    // SAFETY: the closure calls `prctl` alone, which is safe between fork and exec: it takes no lock and no memory.
    unsafe { command.pre_exec(install) };
}

#[expect(unsafe_code, reason = "the standard library installs no filters")]
fn install() -> io::Result<()> {
    let mut program = PROGRAM;
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers only. Without it only root may install a filter.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: takes a pointer to a program of that length; the kernel copies it during the call.
    let installed =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if promised == 0 && installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
