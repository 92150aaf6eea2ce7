//! An allocator that counts what chosen threads allocate.

#![expect(unsafe_code, reason = "a global allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};

/// Threads that can be watched at once.
const WATCHED_MAX: usize = 8;

static WATCHED: [AtomicI32; WATCHED_MAX] = [const { AtomicI32::new(0) }; WATCHED_MAX];
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD_ID: Cell<i32> = const { Cell::new(0) };
}

/// Counts allocations of the watched threads; otherwise the system's allocator.
pub struct Counting;

/// Counts an allocation of this thread, if it is watched.
pub fn note() {
    // A thread that is being torn down has no id any more and is none of the watched.
    let id = THREAD_ID.try_with(|cell| {
        if cell.get() == 0 {
            // SAFETY: a system call without arguments.
            cell.set(unsafe { libc::gettid() });
        }
        cell.get()
    });
    if id.is_ok_and(|id| WATCHED.iter().any(|watched| watched.load(Ordering::Relaxed) == id)) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Watches the threads of this process whose name starts with one of the prefixes; returns how many.
pub fn watch(prefixes: &[&str]) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut found = 0;
    for task in tasks {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id: i32 = task.file_name().to_string_lossy().parse().unwrap_or(0);
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) && found < WATCHED_MAX {
            WATCHED[found].store(id, Ordering::Relaxed);
            found += 1;
        }
    }
    found
}

/// Allocations of the watched threads so far.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}
