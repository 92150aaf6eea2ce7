//! What the system did to the measuring threads in a window: the reasons that an outlier may have.

use serde::Serialize;
use std::fs;
use tickpath_shared::status::{LaneWord, Ring, RingWord, StatusReader};

/// Counts since the threads started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    switches: u64,
    faults: u64,
    interrupts: u64,
    rollovers: u64,
    ring_max: u64,
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Window {
    /// Context switches of the hot thread, wanted or not.
    pub(super) context_switches: u64,
    /// Page faults of the hot thread.
    pub(super) page_faults: u64,
    /// Interrupts on the two cores.
    pub(super) interrupts: u64,
    /// Segments of the journal that were filled.
    pub(super) journal_rollovers: u64,
    /// Most slots of the ring of frames in use so far; 0 when the stages are fused.
    pub(super) ring_occupied_max: u64,
    /// Longest time in which the generator did nothing, nanoseconds.
    pub(super) generator_gap_ns: u64,
}

impl Evidence {
    /// A look at thread `tid`, at the cores and at the session's status.
    pub(super) fn look(tid: i32, cores: &[usize], status: &StatusReader) -> Self {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/self/task/{tid}/{file}")).unwrap_or_default();
        let lanes = 0..4;
        let rollovers = lanes.map(|lane| {
            status.lane(lane, LaneWord::Position) / status.lane(lane, LaneWord::SegmentBytes).max(1)
        });
        Self {
            switches: switches(&read("status")),
            faults: faults(&read("stat")),
            interrupts: interrupts(&fs::read_to_string("/proc/interrupts").unwrap_or_default(), cores),
            rollovers: rollovers.sum(),
            ring_max: status.ring(Ring::Frames, RingWord::OccupiedMax),
        }
    }

    /// What happened since `before`.
    pub(super) fn since(&self, before: &Self, generator_gap_ns: u64) -> Window {
        Window {
            context_switches: self.switches - before.switches,
            page_faults: self.faults - before.faults,
            interrupts: self.interrupts.saturating_sub(before.interrupts),
            journal_rollovers: self.rollovers - before.rollovers,
            ring_occupied_max: self.ring_max,
            generator_gap_ns,
        }
    }
}

fn switches(status: &str) -> u64 {
    let lines = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
    lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

/// Fields 10 and 12 of `stat`: minor and major faults, counted after the name, which may hold anything.
fn faults(stat: &str) -> u64 {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    [7, 9].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum()
}

/// Sum over the columns of the cores; lines without a column for every core count for no core.
fn interrupts(text: &str, cores: &[usize]) -> u64 {
    let mut lines = text.lines();
    let columns: Vec<Option<usize>> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|name| name.strip_prefix("CPU")?.parse().ok())
        .collect();
    let of = |line: &str| -> u64 {
        let counts: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .map_while(|field| field.parse().ok())
            .take(columns.len())
            .collect();
        if counts.len() < columns.len() {
            return 0;
        }
        let wanted = columns.iter().zip(&counts).filter(|(core, _)| core.is_some_and(|c| cores.contains(&c)));
        wanted.map(|(_, count)| count).sum()
    };
    lines.map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_tables_are_read() {
        assert_eq!(switches("voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t3\n"), 10);
        assert_eq!(faults("12 (a ) b) S 1 2 3 4 5 6 40 0 2 0 9"), 42);
        let table = "      CPU0   CPU2\n 0:    5   7  IO-APIC  timer\nLOC:  100  200  Local timer\nERR:  9\n";
        assert_eq!(interrupts(table, &[2]), 207);
        assert_eq!(interrupts(table, &[0, 2]), 312);
    }
}
