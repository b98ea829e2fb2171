//! The process's own figures, under the names that dashboards expect.
//!
//! Read from `/proc` at each scrape; where that is missing, only the start time is shown.

use std::{fmt, fs};

use callbook_overlay::time::Unix;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Value, encode as encode_metric};

/// What this exports.
pub(super) mod names {
    crate::metrics::catalogue::declare! {
        PROCESS:
        /// Processor time used
        PROCESS_CPU = Counter "process_cpu_seconds";
        /// Memory in use
        PROCESS_RESIDENT_MEMORY = Gauge "process_resident_memory_bytes";
        /// Threads
        PROCESS_THREADS = Gauge "process_threads";
        /// Open file descriptors
        PROCESS_OPEN_FDS = Gauge "process_open_fds";
        /// File descriptors that may be open
        PROCESS_MAX_FDS = Gauge "process_max_fds";
        /// When the process started, in seconds since 1970
        PROCESS_START_TIME = Gauge "process_start_time_seconds";
    }
}
use names::{
    PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY, PROCESS_START_TIME,
    PROCESS_THREADS,
};

/// Ticks a second in `/proc/self/stat`. Specification: Linux tells programs 100 on every machine.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    /// In seconds since 1970.
    started: f64,
}

impl Process {
    pub(super) fn started(at: Unix) -> Self {
        Self { started: at.as_secs() as f64 }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let none = &[][..];
        encode_metric(&mut encoder, &PROCESS_START_TIME, [(none, Value::Real(self.started))])?;
        if let Some(seconds) = cpu_seconds() {
            encode_metric(&mut encoder, &PROCESS_CPU, [(none, Value::Real(seconds))])?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (metric, field, unit) in
            [(&PROCESS_RESIDENT_MEMORY, "VmRSS:", 1_024), (&PROCESS_THREADS, "Threads:", 1)]
        {
            if let Some(value) = field_of(&status, field) {
                encode_metric(&mut encoder, metric, [(none, Value::Whole(value * unit))])?;
            }
        }
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        if let Some(most) = field_of(&limits, "Max open files") {
            encode_metric(&mut encoder, &PROCESS_MAX_FDS, [(none, Value::Whole(most))])?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            encode_metric(&mut encoder, &PROCESS_OPEN_FDS, [(none, Value::Whole(open.count() as u64))])?;
        }
        Ok(())
    }
}

/// User and system time: the 14th and 15th field, the 2nd being the name in brackets.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

/// The first number behind a field's name.
fn field_of(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
