//! Allocations of C code: its calls and those of the system's allocator end up here.

#![expect(unsafe_code, reason = "the C library's own functions are defined anew")]

use std::ffi::c_void;
use tickpath_tests::alloc::note;

unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, bytes: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, bytes: usize) -> *mut c_void;
}

// SAFETY: the only one of its name in this program, with the C library's meaning.
#[unsafe(no_mangle)]
extern "C" fn malloc(bytes: usize) -> *mut c_void {
    note();
    // SAFETY: it takes any size.
    unsafe { __libc_malloc(bytes) }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    note();
    // SAFETY: it takes any sizes.
    unsafe { __libc_calloc(count, bytes) }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, bytes: usize) -> *mut c_void {
    note();
    // SAFETY: the caller's promise is the C library's.
    unsafe { __libc_realloc(block, bytes) }
}
