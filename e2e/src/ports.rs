//! Ports for processes that are told where to listen.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    ops::Range,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::Context;

/// Below those that outgoing connections are given, on all systems: nothing takes one between the look and the start of the process.
const RANGE: Range<u16> = 20_000..32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on which nobody listens, and which this process has not been given before.
pub fn free(address: IpAddr) -> anyhow::Result<SocketAddr> {
    let count = RANGE.end - RANGE.start;
    // Test programs that run beside each other begin at places of their own.
    let first = u16::try_from(std::process::id() % u32::from(count)).unwrap_or_default();
    let is_free = |port: &u16| TcpListener::bind((address, *port)).is_ok();
    let ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(usize::from(count));
    let port = ports.map(|n| RANGE.start + (first + n % count) % count).find(is_free).context("no port is free")?;
    Ok(SocketAddr::new(address, port))
}
