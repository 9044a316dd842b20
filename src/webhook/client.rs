//! Who sent a request: the other end of the connection or, where that is a trusted proxy, whom it names.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Tcp(SocketAddr),
    Unix,
}

/// As it is logged and as rules see it. A client behind a proxy has port 0: its own is not known.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An IPv4 client of the socket for both families is shown as what it is.
            Self::Tcp(address) => SocketAddr::new(address.ip().to_canonical(), address.port()).fmt(f),
            Self::Unix => f.write_str("@"),
        }
    }
}

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        let mut proxies = Self::default();
        for item in list.split([',', ' ']).filter(|item| !item.is_empty()) {
            if matches!(item, "unix" | "@") {
                proxies.unix = true;
            } else if let Some(network) = network(item) {
                proxies.networks.push(network);
            } else {
                return Err(format!("{item:?} is not an address, a network or 'unix'"));
            }
        }
        Ok(proxies)
    }
}

fn network(item: &str) -> Option<IpNet> {
    item.parse().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from))
}

impl TrustedProxies {
    /// Whose share of connections and memory a client uses: its address, of IPv6 the network of one site. This machine
    /// and trusted proxies have none of their own, since they speak for many.
    pub fn share(&self, client: Client) -> Option<IpAddr> {
        let Client::Tcp(address) = client else { return None };
        let ip = address.ip().to_canonical();
        if ip.is_loopback() || self.trusts(ip) {
            return None;
        }
        Some(match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The client behind `direct`: from the right, the first in `X-Forwarded-For` that is no trusted proxy. What
    /// stands left of it is the client's own word and counts for nothing.
    pub fn client_behind(&self, direct: Client, headers: &HeaderMap) -> Client {
        let trusted = match direct {
            Client::Tcp(address) => self.trusts(address.ip().to_canonical()),
            Client::Unix => self.unix,
        };
        if !trusted {
            return direct;
        }
        let mut client = direct;
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            let Some(ip) = std::str::from_utf8(hop).ok().and_then(|hop| hop_address(hop.trim())) else {
                break;
            };
            client = Client::Tcp(SocketAddr::new(ip, 0));
            if !self.trusts(ip) {
                break;
            }
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let ip = hop.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    ip.or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip())).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_who_the_last_trusted_proxy_says() {
        let trusted: TrustedProxies = "127.0.0.1, 10.0.0.0/8,unix,2001:db8::1".parse().unwrap();
        for (direct, forwarded, client) in [
            ("192.0.2.9:5", &["203.0.113.7"][..], "192.0.2.9:5"),
            ("127.0.0.1:5", &[], "127.0.0.1:5"),
            ("127.0.0.1:5", &["203.0.113.7"], "203.0.113.7:0"),
            ("[::ffff:127.0.0.1]:5", &["203.0.113.7"], "203.0.113.7:0"),
            ("127.0.0.1:5", &["1.1.1.1, 203.0.113.7, 10.1.2.3"], "203.0.113.7:0"),
            ("127.0.0.1:5", &["1.1.1.1", "203.0.113.7 ,10.1.2.3"], "203.0.113.7:0"),
            ("127.0.0.1:5", &["203.0.113.7:1234"], "203.0.113.7:0"),
            ("127.0.0.1:5", &["[2001:db8::9]:1234"], "[2001:db8::9]:0"),
            ("127.0.0.1:5", &["2001:db8::9"], "[2001:db8::9]:0"),
            ("127.0.0.1:5", &["203.0.113.7, garbage"], "127.0.0.1:5"),
            ("127.0.0.1:5", &["203.0.113.7, garbage, 10.0.0.1"], "10.0.0.1:0"),
            ("127.0.0.1:5", &["10.0.0.2, 10.0.0.1"], "10.0.0.2:0"),
            ("@", &["203.0.113.7"], "203.0.113.7:0"),
            ("@", &[], "@"),
        ] {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let direct = direct.parse().map_or(Client::Unix, Client::Tcp);
            assert_eq!(trusted.client_behind(direct, &headers).to_string(), client, "{direct} {forwarded:?}");
        }
    }

    #[test]
    fn a_share_belongs_to_an_address_or_a_network_of_ipv6() {
        let trusted: TrustedProxies = "198.51.100.1".parse().unwrap();
        for (client, share) in [
            ("192.0.2.9:5", Some("192.0.2.9")),
            ("[::ffff:192.0.2.9]:5", Some("192.0.2.9")),
            ("[2001:db8:1:2:3:4:5:6]:5", Some("2001:db8:1:2::")),
            ("127.8.8.8:5", None),
            ("[::1]:5", None),
            ("198.51.100.1:5", None),
            ("@", None),
        ] {
            let client = client.parse().map_or(Client::Unix, Client::Tcp);
            assert_eq!(trusted.share(client), share.map(|share| share.parse().unwrap()), "{client}");
        }
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        for direct in [Client::Unix, Client::Tcp("127.0.0.1:5".parse().unwrap())] {
            assert_eq!(TrustedProxies::default().client_behind(direct, &headers), direct);
        }
    }
}
