//! Where a host name or an address leads.

use std::net::IpAddr;

/// Whether what is sent to this host stays on this machine: `localhost`, `127.0.0.1`, `[::1]`.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.org", "10.0.0.1", "0.0.0.0", "::", "", "127.1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
