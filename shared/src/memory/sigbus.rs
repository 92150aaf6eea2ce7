//! Fail-stop instead of a bare SIGBUS when somebody truncates a file we have mapped.

use std::ffi::c_int;

/// Exit code for a broken environment, as the command line documents it.
const EXIT_ENVIRONMENT: c_int = 6;

const MESSAGE: &[u8] = b"tickpath: a shared-memory file was truncated by another process while mapped; \
stopping so that no wrong record is written. Start again: a new session gets new files.\n";

extern "C" fn on_sigbus(_signal: c_int) {
    // SAFETY: write(2) and _exit(2) are async-signal-safe; the message is a static of known length.
    unsafe {
        libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(EXIT_ENVIRONMENT);
    }
}

/// Makes this process leave with a message and exit code 6 on SIGBUS.
pub fn install_sigbus_handler() {
    // SAFETY: the handler is an `extern "C"` function of the right type that only makes
    // async-signal-safe calls; the zeroed action has an empty mask and no flags.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(c_int) = on_sigbus;
        action.sa_sigaction = handler as usize;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}
