//! What the system says about a core, for the start report, and real-time scheduling of the thread on it.

#![expect(unsafe_code, reason = "the scheduler's call has no safe interface")]

use super::settings::{Setting, check};
use std::{fs, path::Path};

/// Facts of a core as the system shows them; what it does not show is said to be unknown.
pub fn describe(core: usize) -> String {
    describe_at(Path::new("/"), core)
}

fn describe_at(root: &Path, core: usize) -> String {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned());
    let cpu = format!("sys/devices/system/cpu/cpu{core}");
    let isolated = match read("sys/devices/system/cpu/isolated") {
        None => "isolation unknown",
        Some(list) if contains(&list, core) => "isolated",
        Some(_) => "not isolated",
    };
    let siblings = match read(&format!("{cpu}/topology/thread_siblings_list")) {
        None => "siblings unknown".to_owned(),
        Some(list) if list == core.to_string() => "no sibling".to_owned(),
        Some(list) => format!("shares its core with {list}"),
    };
    let node = fs::read_dir(root.join(&cpu)).ok().and_then(|entries| {
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        names.filter_map(|name| name.strip_prefix("node")?.parse::<usize>().ok()).min()
    });
    let node = node.map_or("NUMA node unknown".to_owned(), |node| format!("NUMA node {node}"));
    let quota = match read("sys/fs/cgroup/cpu.max") {
        None => "quota unknown".to_owned(),
        Some(text) if text.starts_with("max") => "no quota".to_owned(),
        Some(text) => format!("quota {text} us"),
    };
    let set = read("sys/fs/cgroup/cpuset.cpus.effective")
        .map_or("cpuset unknown".to_owned(), |s| format!("cpuset {s}"));
    format!("{isolated}, {siblings}, {node}, {set}, {quota}")
}

/// True when a list of ranges such as `0,4-7` names the core.
pub fn contains(list: &str, core: usize) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = (first.trim().parse::<usize>(), last.trim().parse::<usize>());
        matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&core))
    })
}

/// Puts the calling thread under SCHED_FIFO.
pub fn schedule(priority: Option<u8>) -> Setting {
    let name = format!("SCHED_FIFO {}", priority.unwrap_or(0));
    Setting::ask(name, priority.is_some(), || {
        let parameters = libc::sched_param { sched_priority: priority.unwrap_or(0).into() };
        // SAFETY: the parameters live until the call returns; 0 is the calling thread.
        check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_from_the_systems_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(
            describe_at(dir.path(), 3).contains("isolation unknown, siblings unknown, NUMA node unknown")
        );
        put("sys/devices/system/cpu/isolated", "2-5\n");
        put("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3,11\n");
        put("sys/devices/system/cpu/cpu3/node1/x", "");
        put("sys/fs/cgroup/cpu.max", "200000 100000\n");
        put("sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
        let text = describe_at(dir.path(), 3);
        assert_eq!(
            text,
            "isolated, shares its core with 3,11, NUMA node 1, cpuset 0-7, quota 200000 100000 us"
        );
    }

    #[test]
    fn core_lists_are_ranges() {
        assert!(contains("0-3,8", 8) && contains("0-3,8", 2));
        assert!(!contains("0-3,8", 5) && !contains("", 0));
    }

    #[test]
    fn usual_scheduling_is_no_request() {
        assert_eq!(schedule(None).to_string(), "SCHED_FIFO 0 not asked for");
    }
}
