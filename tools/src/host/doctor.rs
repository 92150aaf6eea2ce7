//! The host's checklist for low latency: what is as it should be, what is not and the command that mends it.
//! Reads only; a fact that cannot be read is said to be so and never guessed.

use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tickpath_hotpath::{
    net::{affinity::allowed_cores, cores::contains},
    wire::simd::Isa,
};

/// How a fact stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Missing,
    /// The system does not say.
    CannotTell,
}

impl Verdict {
    /// Text in the first column.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// One line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What mends it; empty when nothing has to be.
    pub mend: &'static str,
}

/// Where the facts are read from: the system's root, or a copy of its files.
pub struct Host {
    root: PathBuf,
    cores: Vec<usize>,
}

impl Host {
    /// This machine.
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), cores: allowed_cores() }
    }

    /// Files below `root` as if they were the system's, for these cores.
    pub fn at(root: &Path, cores: &[usize]) -> Self {
        Self { root: root.to_owned(), cores: cores.to_vec() }
    }

    /// Every check, in the order of a person's reading.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            self.cores(),
            self.quota(),
            self.isolated(),
            self.kernel_list("nohz_full", "sys/devices/system/cpu/nohz_full", "boot with nohz_full=CORES"),
            self.rcu(),
            self.smt(),
            self.governor(),
            self.idle_states(),
            self.interrupts(),
            self.clock_source(),
            self.huge_pages(),
            self.swap(),
            self.locked_memory(),
            self.shared_memory(),
            self.numa(),
            self.busy_read(),
            self.real_time(),
            instruction_set(),
        ]
    }

    /// First line of a file, without blanks around it; `None` when it cannot be read.
    fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.lines().next().unwrap_or_default().trim().to_owned())
    }

    fn cores(&self) -> Check {
        let verdict = if self.cores.len() >= 2 { Verdict::Ok } else { Verdict::Missing };
        let found = format!("this process may use cores {:?}", self.cores);
        check("cores", verdict, found, "give it two cores or more: docker run --cpuset-cpus=0-1")
    }

    fn quota(&self) -> Check {
        const MEND: &str = "pin with a cpuset instead of a quota: no docker --cpus, no CPUQuota=";
        match self.read("sys/fs/cgroup/cpu.max") {
            Some(text) if text.starts_with("max") => check("cpu quota", Verdict::Ok, "none", MEND),
            Some(text) => check("cpu quota", Verdict::Missing, format!("cpu.max {text}: throttled"), MEND),
            None => check("cpu quota", Verdict::CannotTell, "no cgroup v2 cpu.max", MEND),
        }
    }

    fn isolated(&self) -> Check {
        const PATH: &str = "sys/devices/system/cpu/isolated";
        self.kernel_list("isolated cores", PATH, "boot with isolcpus=CORES, or an isolated cpuset partition")
    }

    fn kernel_list(&self, name: &'static str, path: &str, mend: &'static str) -> Check {
        match self.read(path) {
            Some(list) if list.is_empty() || list == "(null)" => check(name, Verdict::Missing, "none", mend),
            Some(list) => check(name, Verdict::Ok, list, mend),
            None => check(name, Verdict::CannotTell, format!("no /{path}"), mend),
        }
    }

    fn rcu(&self) -> Check {
        const MEND: &str = "boot with rcu_nocbs=CORES";
        let Some(line) = self.read("proc/cmdline") else {
            return check("rcu callbacks", Verdict::CannotTell, "no /proc/cmdline", MEND);
        };
        match line.split(' ').find(|word| word.starts_with("rcu_nocbs")) {
            Some(word) => check("rcu callbacks", Verdict::Ok, word, MEND),
            None => {
                check("rcu callbacks", Verdict::Missing, "no rcu_nocbs on the kernel's command line", MEND)
            }
        }
    }

    fn smt(&self) -> Check {
        const MEND: &str = "echo off > /sys/devices/system/cpu/smt/control, or leave the sibling idle";
        match self.read("sys/devices/system/cpu/smt/active").as_deref() {
            Some("0") => check("smt", Verdict::Ok, "off, or one thread a core", MEND),
            Some("1") => check("smt", Verdict::Missing, "on: a sibling shares the core", MEND),
            _ => check("smt", Verdict::CannotTell, "the kernel does not say", MEND),
        }
    }

    fn governor(&self) -> Check {
        const MEND: &str = "cpupower frequency-set -g performance";
        let of =
            |core: &usize| self.read(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"));
        let governors: Option<Vec<String>> = self.cores.iter().map(of).collect();
        match governors {
            None => check("frequency governor", Verdict::CannotTell, "no cpufreq, as in most guests", MEND),
            Some(all) if all.iter().all(|g| g == "performance") => {
                check("frequency governor", Verdict::Ok, "performance", MEND)
            }
            Some(all) => check("frequency governor", Verdict::Missing, all.join(", "), MEND),
        }
    }

    fn idle_states(&self) -> Check {
        const MEND: &str = "cpupower idle-set -D 1, or boot with processor.max_cstate=1";
        match self.read("sys/devices/system/cpu/cpuidle/current_driver").as_deref() {
            Some("none") => check("idle states", Verdict::Ok, "no driver: the guest only halts", MEND),
            Some(driver) => {
                let deep = self.deep_states();
                let verdict = if deep.is_empty() { Verdict::Ok } else { Verdict::Missing };
                let found = if deep.is_empty() { "none above 10 us".to_owned() } else { deep.join(", ") };
                check("idle states", verdict, format!("{driver}: {found}"), MEND)
            }
            None => check("idle states", Verdict::CannotTell, "no cpuidle", MEND),
        }
    }

    /// Enabled idle states of the first core that take longer than 10 us to leave.
    fn deep_states(&self) -> Vec<String> {
        let core = self.cores.first().copied().unwrap_or(0);
        let state = |number: usize| {
            let dir = format!("sys/devices/system/cpu/cpu{core}/cpuidle/state{number}");
            let latency_us: u64 = self.read(&format!("{dir}/latency"))?.parse().ok()?;
            let is_on = self.read(&format!("{dir}/disable"))? == "0";
            let name = self.read(&format!("{dir}/name"))?;
            Some((is_on && latency_us > 10).then(|| format!("{name} ({latency_us} us)")))
        };
        (0..).map_while(state).flatten().collect()
    }

    fn interrupts(&self) -> Check {
        const MEND: &str = "stop irqbalance; write other cores to /proc/irq/*/smp_affinity_list";
        let Some(core) = self.cores.last() else {
            return check("interrupts", Verdict::CannotTell, "no core", MEND);
        };
        let Ok(entries) = fs::read_dir(self.root.join("proc/irq")) else {
            return check("interrupts", Verdict::CannotTell, "no /proc/irq", MEND);
        };
        let lists =
            entries.flatten().filter_map(|e| fs::read_to_string(e.path().join("smp_affinity_list")).ok());
        let (mut all, mut here) = (0, 0);
        for list in lists {
            all += 1;
            here += usize::from(contains(list.trim(), *core));
        }
        let verdict = if all == 0 {
            Verdict::CannotTell
        } else if here == 0 {
            Verdict::Ok
        } else {
            Verdict::Missing
        };
        check("interrupts", verdict, format!("{here} of {all} may fire on core {core}"), MEND)
    }

    fn clock_source(&self) -> Check {
        const MEND: &str =
            "boot with clocksource=tsc tsc=reliable where the processor's counter is invariant";
        match self.read("sys/devices/system/clocksource/clocksource0/current_clocksource").as_deref() {
            Some("tsc" | "arch_sys_counter") => {
                check("clock source", Verdict::Ok, "the processor's counter", MEND)
            }
            Some(other) => check("clock source", Verdict::Missing, other, MEND),
            None => check("clock source", Verdict::CannotTell, "the kernel does not say", MEND),
        }
    }

    fn huge_pages(&self) -> Check {
        const MEND: &str = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
        match self.read("sys/kernel/mm/transparent_hugepage/enabled") {
            Some(text) if text.contains("[always]") => check("huge pages", Verdict::Missing, text, MEND),
            Some(text) => check("huge pages", Verdict::Ok, text, MEND),
            None => check("huge pages", Verdict::CannotTell, "the kernel does not say", MEND),
        }
    }

    fn swap(&self) -> Check {
        const MEND: &str = "swapoff -a";
        match fs::read_to_string(self.root.join("proc/swaps")) {
            Ok(text) if text.lines().count() <= 1 => check("swap", Verdict::Ok, "none", MEND),
            Ok(text) => check("swap", Verdict::Missing, format!("{} areas", text.lines().count() - 1), MEND),
            Err(_) => check("swap", Verdict::CannotTell, "no /proc/swaps", MEND),
        }
    }

    fn locked_memory(&self) -> Check {
        const MEND: &str = "LimitMEMLOCK=infinity, or docker run --ulimit memlock=-1";
        let Ok(limits) = fs::read_to_string(self.root.join("proc/self/limits")) else {
            return check("locked memory", Verdict::CannotTell, "no /proc/self/limits", MEND);
        };
        let line = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap_or_default();
        let soft = line.split_whitespace().nth(3).unwrap_or_default();
        let is_enough = soft == "unlimited" || soft.parse::<u64>().is_ok_and(|bytes| bytes >= 1 << 29);
        let verdict = if is_enough { Verdict::Ok } else { Verdict::Missing };
        check("locked memory", verdict, format!("limit {soft} bytes; the journal wants 512 MiB"), MEND)
    }

    fn shared_memory(&self) -> Check {
        const MEND: &str = "docker run --shm-size=1g, or mount -o remount,size=1G /dev/shm";
        let path = self.root.join("dev/shm");
        if !path.is_dir() {
            return check("shared memory", Verdict::CannotTell, "no /dev/shm", MEND);
        }
        let free = tickpath_shared::memory::free_bytes(&path);
        let verdict = if free >= 512 << 20 { Verdict::Ok } else { Verdict::Missing };
        check("shared memory", verdict, format!("{} MiB free in /dev/shm", free >> 20), MEND)
    }

    fn numa(&self) -> Check {
        const MEND: &str = "numactl --cpunodebind=N --membind=N, N the network card's node";
        let Some(nodes) = self.read("sys/devices/system/node/online") else {
            return check("numa", Verdict::CannotTell, "the kernel does not say", MEND);
        };
        let verdict = if nodes == "0" { Verdict::Ok } else { Verdict::Missing };
        check("numa", verdict, format!("nodes {nodes}"), MEND)
    }

    fn busy_read(&self) -> Check {
        const MEND: &str = "sysctl -w net.core.busy_read=50 net.core.busy_poll=50 (needs a card that polls)";
        match self.read("proc/sys/net/core/busy_read").as_deref() {
            Some("0") => check("socket busy polling", Verdict::Missing, "off", MEND),
            Some(us) => check("socket busy polling", Verdict::Ok, format!("{us} us"), MEND),
            None => check("socket busy polling", Verdict::CannotTell, "no net.core.busy_read", MEND),
        }
    }

    fn real_time(&self) -> Check {
        const MEND: &str = "only with SCHED_FIFO: sysctl -w kernel.sched_rt_runtime_us=-1, or a spinner loses 50 ms a second";
        match self.read("proc/sys/kernel/sched_rt_runtime_us").as_deref() {
            Some("-1") => check("real-time throttling", Verdict::Ok, "off", MEND),
            Some(us) => {
                check("real-time throttling", Verdict::Missing, format!("{us} us of every second"), MEND)
            }
            None => check("real-time throttling", Verdict::CannotTell, "the kernel does not say", MEND),
        }
    }
}

fn instruction_set() -> Check {
    let best = Isa::available()[0];
    let verdict = if best == Isa::Plain { Verdict::Missing } else { Verdict::Ok };
    check(
        "instruction set",
        verdict,
        format!("decodes with {}", best.name()),
        "a processor with AVX2 or AVX-512",
    )
}

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>, mend: &'static str) -> Check {
    let mend = if verdict == Verdict::Ok { "" } else { mend };
    Check { name, verdict, found: found.into(), mend }
}

/// The checklist as a table.
pub fn table(checks: &[Check]) -> String {
    let line = |c: &Check| {
        let head = format!("{:<12} {:<22} {}\n", c.verdict.label(), c.name, c.found);
        if c.mend.is_empty() { head } else { format!("{head}{:<35} mend: {}\n", "", c.mend) }
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn verdict(checks: &[Check], name: &str) -> Verdict {
        checks.iter().find(|c| c.name == name).unwrap().verdict
    }

    #[test]
    fn a_tuned_host_is_told_from_a_plain_one() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "sys/fs/cgroup/cpu.max", "max 100000\n");
        write(dir.path(), "sys/devices/system/cpu/isolated", "2-3\n");
        write(dir.path(), "sys/devices/system/cpu/nohz_full", "(null)\n");
        write(dir.path(), "proc/cmdline", "root=/dev/vda rcu_nocbs=2-3\n");
        write(dir.path(), "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n");
        write(dir.path(), "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n");
        write(dir.path(), "proc/irq/5/smp_affinity_list", "0-1\n");
        write(dir.path(), "proc/irq/6/smp_affinity_list", "0,3\n");
        let checks = Host::at(dir.path(), &[2, 3]).checks();
        for (name, expected) in [
            ("cpu quota", Verdict::Ok),
            ("isolated cores", Verdict::Ok),
            ("nohz_full", Verdict::Missing),
            ("rcu callbacks", Verdict::Ok),
            ("frequency governor", Verdict::Missing),
            ("interrupts", Verdict::Missing),
            ("swap", Verdict::CannotTell),
        ] {
            assert_eq!(verdict(&checks, name), expected, "{name}");
        }
        let text = table(&checks);
        assert!(
            text.contains("cpupower frequency-set -g performance") && text.contains("1 of 2 may fire"),
            "{text}"
        );
    }

    #[test]
    fn every_check_answers_on_this_machine() {
        let checks = Host::this().checks();
        assert!(
            checks.iter().all(|c| !c.found.is_empty() && (c.verdict == Verdict::Ok) == c.mend.is_empty())
        );
    }
}
