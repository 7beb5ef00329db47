//! Which signals a process takes.

/// Whether a process catches a signal, as the kernel says.
pub fn takes(pid: i32, signal: u8) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    caught(&status)
        .is_some_and(|mask| mask.checked_shr(u32::from(signal).wrapping_sub(1)).unwrap_or(0) & 1 == 1)
}

fn caught(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read() {
        assert_eq!(caught("Name:\tsh\nSigCgt:\t0000000000010002\n"), Some(0x1_0002));
        assert_eq!(caught(""), None);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!takes(own, 0) && !takes(own, 200));
        assert!(takes(own, libc::SIGSEGV as u8), "the runtime catches overruns of the stack");
    }
}
