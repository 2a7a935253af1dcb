//! Which hosts a request may go to. The address is looked at when it is connected to, so a name that changes its address in between gains nothing.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Names that only mean something inside of a cluster or a host.
const INTERNAL_NAMES: &[&str] = &["localhost", "local", "internal", "svc"];
/// Networks of IPv4 that no server of the internet is in.
const INTERNAL_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
/// Networks of IPv6 that no server of the internet is in: loopback and unset, unique local, link-local, site-local, multicast.
const INTERNAL_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::UNSPECIFIED, 127),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Nothing was sent: the host is not one of the internet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An address, or all addresses of a name.
    #[error("{0}: the address is internal and no allowed network holds it; nothing was sent")]
    Address(String),
    /// The text is no address of a server.
    #[error("is no http or https URL with a host")]
    NotHttp,
}

type Looked = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// Finds the addresses of a name.
pub(crate) type Lookup = Arc<dyn Fn(String) -> Looked + Send + Sync>;

/// Which hosts a request may go to: those of the internet, and those of the networks that are allowed.
#[derive(Clone)]
pub struct Hosts {
    allowed: Arc<[IpNet]>,
    lookup: Lookup,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Hosts {
    /// Hosts of the internet, and those of `allowed`.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self::with_lookup(allowed, Arc::new(|name| Box::pin(system_lookup(name))))
    }

    pub(crate) fn with_lookup(allowed: Vec<IpNet>, lookup: Lookup) -> Self {
        Self { allowed: allowed.into(), lookup }
    }

    /// Looks at the host of `url` as far as its text tells; names are looked at again when they are connected to.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::NotHttp);
        }
        let address: IpAddr = match url.host().ok_or(Refused::NotHttp)? {
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        if self.may_connect(address, false) { Ok(()) } else { Err(Refused::Address(address.to_string())) }
    }

    /// `of_internal_name`: found under a name that means something inside only, so the network must be allowed in any case.
    fn may_connect(&self, address: IpAddr, of_internal_name: bool) -> bool {
        let address = embedded(address);
        self.allowed.iter().any(|network| network.contains(&address)) || (!of_internal_name && !is_internal(address))
    }

    async fn addresses(self, name: String) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = (self.lookup)(name.clone()).await?;
        let is_internal = is_internal_name(&name);
        let open: Vec<SocketAddr> = found.into_iter().filter(|address| self.may_connect(address.ip(), is_internal)).collect();
        if open.is_empty() { Err(Box::new(Refused::Address(name))) } else { Ok(open) }
    }
}

impl Resolve for Hosts {
    fn resolve(&self, name: Name) -> Resolving {
        let (hosts, name) = (self.clone(), name.as_str().to_string());
        Box::pin(async move { Ok(Box::new(hosts.addresses(name).await?.into_iter()) as Addrs) })
    }
}

async fn system_lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// A name without a dot is completed by the search list of the pod.
fn is_internal_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.') || INTERNAL_NAMES.contains(&last)
}

/// An address of IPv4 in the clothes of IPv6.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] if (high, low) > (0, 1) => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => INTERNAL_V4.iter().any(|(network, bits)| {
            let differ = u32::from(address) ^ u32::from(*network);
            differ >> (32 - u32::from(*bits)) == 0
        }),
        IpAddr::V6(address) => INTERNAL_V6.iter().any(|(network, bits)| {
            let differ = u128::from(address) ^ u128::from(*network);
            differ >> (128 - u32::from(*bits)) == 0
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], url: &str) -> Result<(), Refused> {
        Hosts::new(allowed.iter().map(|network| network.parse().unwrap()).collect()).check(&Url::parse(url).unwrap())
    }

    #[test]
    fn j48_internal_addresses_are_refused_in_every_spelling() {
        let internal = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.1.2.3/",
            "http://172.31.255.255/",
            "http://192.168.0.1/",
            "http://100.64.0.1/",
            "http://255.255.255.255/",
            "http://224.0.0.1/",
            "http://[::1]/",
            "http://[::]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[ff02::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::7f00:2]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
        ];
        for url in internal {
            assert!(matches!(check(&[], url), Err(Refused::Address(_))), "{url}");
        }
        for url in
            ["https://1.1.1.1/", "https://172.32.0.1/", "https://100.128.0.1/", "https://[2606:4700::1111]/", "https://hooks.example.com/"]
        {
            assert_eq!(check(&[], url), Ok(()), "{url}");
        }
        assert_eq!(check(&[], "ftp://hooks.example.com/"), Err(Refused::NotHttp));
    }

    #[test]
    fn allowed_networks_open_what_they_hold() {
        assert_eq!(check(&["10.0.0.0/8"], "http://10.1.2.3/"), Ok(()));
        assert_eq!(check(&["10.0.0.0/8"], "http://[::ffff:10.1.2.3]/"), Ok(()));
        assert_eq!(check(&["10.0.0.0/8"], "http://11.0.0.1/"), Ok(()));
        assert!(check(&["10.0.0.0/8"], "http://192.168.0.1/").is_err());
        assert_eq!(check(&["fd00::/8"], "http://[fd00::1]/"), Ok(()));
    }

    #[tokio::test]
    async fn j48_names_are_judged_by_the_addresses_that_are_connected_to() {
        let lookup: Lookup = Arc::new(|name| {
            Box::pin(async move {
                let addresses: &[&str] = match name.as_str() {
                    "mixed.example.com" => &["127.0.0.1:0", "1.1.1.1:0", "[::1]:0"],
                    "inside.example.com" => &["127.0.0.1:0", "10.0.0.1:0"],
                    _ => &["1.1.1.1:0"],
                };
                Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
            })
        });
        let found = |allowed: &[&str], name: &str| {
            let hosts = Hosts::with_lookup(allowed.iter().map(|network| network.parse().unwrap()).collect(), lookup.clone());
            let name = name.to_string();
            async move {
                let found = hosts.addresses(name).await;
                found
                    .map(|found| found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>())
                    .map_err(|error| error.to_string())
            }
        };
        assert_eq!(found(&[], "mixed.example.com").await.unwrap(), ["1.1.1.1"]);
        let refused = "inside.example.com: the address is internal and no allowed network holds it; nothing was sent";
        assert_eq!(found(&[], "inside.example.com").await.unwrap_err(), refused);
        assert_eq!(found(&["10.0.0.0/8"], "inside.example.com").await.unwrap(), ["10.0.0.1"]);
        // Whatever address a cluster gives to its services.
        for name in ["api.data.svc.cluster.local", "api.data.svc", "api", "localhost", "LOCALHOST.", "metadata.google.internal"] {
            assert!(found(&[], name).await.is_err(), "{name}");
            assert_eq!(found(&["1.1.1.0/24"], name).await.unwrap(), ["1.1.1.1"], "{name}");
        }
    }
}
