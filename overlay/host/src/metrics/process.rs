//! The process's own figures, under the names that dashboards expect.
//!
//! Read from `/proc` at each scrape; where that is missing, nothing is shown.

use std::{fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Ticks a second in `/proc/self/stat`. Specification: Linux tells programs 100 on every machine.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(seconds) = cpu_seconds() {
            let help = "Processor time used";
            let mut out =
                encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            out.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, field, unit) in [
            ("process_resident_memory_bytes", "Memory in use", "VmRSS:", 1_024),
            ("process_threads", "Threads", "Threads:", 1),
        ] {
            if let Some(value) = field_of(&status, field) {
                let mut out = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                out.encode_gauge(&(value * unit))?;
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let help = "Open file descriptors";
            let mut out = encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
            out.encode_gauge(&i64::try_from(open.count()).unwrap_or(i64::MAX))?;
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

fn field_of(status: &str, field: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
