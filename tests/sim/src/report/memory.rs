//! Memory of this process, as Linux tells it. *Not here*: what takes it.

/// Bytes of a line of `/proc/self/status`, given there in KiB; 0 where there is no such file.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// Bytes in memory now.
#[must_use]
pub fn resident() -> u64 {
    status("VmRSS:")
}

/// The most bytes that were in memory at a time.
#[must_use]
pub fn peak() -> u64 {
    status("VmHWM:")
}
