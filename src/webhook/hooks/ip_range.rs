//! `ip-range`: the addresses an `ip-whitelist` rule lets in.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses and ranges in the order of the file. An item that is neither is an error when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpRanges(Vec<Result<IpNet, String>>);

impl IpRanges {
    /// Items are separated by white space. A single address is just that: /32, or /128 for IPv6.
    pub fn parse(text: &str) -> Self {
        Self(text.split_whitespace().map(|item| range(item).ok_or_else(|| item.to_owned())).collect())
    }

    /// Items that are neither address nor range.
    pub fn bad_items(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|item| item.as_ref().err().map(String::as_str))
    }

    /// Is the client in one of the ranges? `remote_addr` is `ip:port` or `[ip]:port`.
    pub fn contain_client(&self, remote_addr: &str) -> Result<bool, String> {
        let client = client(remote_addr)
            .ok_or_else(|| format!("invalid IP address found in remote address '{remote_addr}'"))?;
        for range in &self.0 {
            match range {
                Ok(range) if range.contains(&client) => return Ok(true),
                Ok(_) => {}
                Err(item) => return Err(format!("invalid CIDR address: {item}")),
            }
        }
        Ok(false)
    }
}

fn range(item: &str) -> Option<IpNet> {
    let (address, length) = match item.split_once('/') {
        None => (item, None),
        Some((address, length)) if length.bytes().all(|b| b.is_ascii_digit()) => (address, Some(length)),
        Some(_) => return None,
    };
    let address: IpAddr = address.parse().ok()?;
    let length = match length {
        None if address.is_ipv4() => 32,
        None => 128,
        Some(length) => length.parse().ok()?,
    };
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), mapped @ IpAddr::V4(_)) if length >= 96 => IpNet::new(mapped, length - 96).ok(),
        _ => IpNet::new(address, length).ok(),
    }
}

fn client(remote_addr: &str) -> Option<IpAddr> {
    let bare = |text: &str| text.trim_matches([' ', '[', ']']).to_owned();
    let address = bare(remote_addr);
    let address = address.rsplit_once(':').map_or(address.as_str(), |(address, _port)| address);
    Some(bare(address).parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::IpRanges;

    #[test]
    fn a_client_is_in_the_range_that_the_file_says() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:5", true),
            ("127.0.0.1", "127.0.0.2:5", false),
            ("127.0.0.1/032", "127.0.0.1:5", true),
            ("192.168.0.1/24", "192.168.0.77:5", true),
            ("192.168.0.1/24", "192.168.1.77:5", false),
            ("192.168.0.30/31", "192.168.0.31:5", true),
            (" 10.0.0.1\t\n 10.0.0.2  ", "10.0.0.2:5", true),
            ("10.0.0.2", " [10.0.0.2] :5", true),
            ("0.0.0.0/0", "203.0.113.9:5", true),
            ("", "127.0.0.1:5", false),
            // A single IPv6 address is one address.
            ("2001:db8::1", "[2001:db8::1]:5", true),
            ("2001:db8::1", "[2001:db8::2]:5", false),
            ("::1", "[::2]:5", false),
            ("2001:db8:1::/48", "[2001:db8:1:2::3]:5", true),
            ("2001:db8:2::/48 2001:db8:1::/48", "[2001:db8:1:2::3]:5", true),
            ("2001:db8:1:3::/64", "[2001:db8:1:2::3]:5", false),
            // IPv4 written as IPv6 is IPv4.
            ("::ffff:10.0.0.0/104", "10.1.2.3:5", true),
            ("::ffff:10.0.0.1", "10.0.0.1:5", true),
            ("10.0.0.1", "[::ffff:10.0.0.1]:5", true),
            ("::ffff:0:0/96", "127.0.0.1:5", true),
            ("::/0", "127.0.0.1:5", false),
            // A hit before a bad item counts.
            ("127.0.0.1 junk", "127.0.0.1:5", true),
        ];
        for (ranges, client, inside) in cases {
            assert_eq!(IpRanges::parse(ranges).contain_client(client), Ok(inside), "{client} in {ranges}");
        }
    }

    #[test]
    fn what_is_no_range_or_no_address_is_an_error() {
        for item in [
            "junk",
            "10.0.0.1,",
            "010.0.0.1",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.1/",
            "0/0",
            "10.0.0.1/+8",
            "[::1]",
        ] {
            let ranges = IpRanges::parse(item);
            assert_eq!(ranges.contain_client("127.0.0.1:5"), Err(format!("invalid CIDR address: {item}")));
            assert_eq!(ranges.bad_items().collect::<Vec<_>>(), [item]);
        }
        for client in ["@", "", "junk:5", "1.2.3:5", "[fe80::1%eth0]:5"] {
            assert!(IpRanges::parse("127.0.0.1").contain_client(client).is_err(), "{client}");
        }
    }
}
