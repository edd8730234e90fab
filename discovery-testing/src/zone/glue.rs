use std::net::Ipv4Addr;

use super::{Answer, Data, Record};

/// The content of the Additional section of an SRV answer.
///
/// The specification says "may include", so a client has to handle every one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Glue {
    /// Every address of every target, as CoreDNS does.
    #[default]
    Full,
    /// Nothing.
    None,
    /// The first records only, up to this number.
    Partial(usize),
    /// The expected number of records, but under names that no SRV record refers to (`stray-0.invalid.`, ...) and with
    /// addresses that no test uses (192.0.2.0/24, RFC 5737).
    Misnamed,
}

impl Glue {
    pub(super) fn apply(self, answer: &mut Answer, ttl: u32) {
        match self {
            Self::Full => {}
            Self::None => answer.additionals.clear(),
            Self::Partial(kept) => answer.additionals.truncate(kept),
            Self::Misnamed => {
                for (number, record) in (0_u8..=u8::MAX).cycle().zip(&mut answer.additionals) {
                    let ip = Ipv4Addr::new(192, 0, 2, number);
                    let name = format!("stray-{number}.invalid.");
                    *record = Record::new(name, ttl, Data::A(ip));
                }
            }
        }
    }
}
