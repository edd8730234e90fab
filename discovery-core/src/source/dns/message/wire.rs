//! Converts between hickory's types and ours. Only this file and the transports use hickory's types.

use std::sync::Arc;

use hickory_net::proto::{
    ProtoError,
    op::{DnsRequest, DnsRequestOptions, Message, MessageType, OpCode, Query as WireQuery, ResponseCode},
    rr::{Name, RData, Record as WireRecord, RecordType},
};

use super::{Data, Error, FORMERR, NOTIMP, Query, Rcode, Record, Response, Rtype, SERVFAIL, Srv};
use crate::error::Kind;

/// The size of a UDP response that EDNS announces, in bytes; a larger one needs TCP.
pub(in super::super) const UDP_PAYLOAD: usize = 1232;

/// What a packet is for a request.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Packet {
    /// The response to the request.
    Response(Response),
    /// A response to the request that does not fit.
    Truncated,
    /// A response with the request's id that is not a DNS message.
    Malformed,
    /// Not a response to the request.
    Stray,
}

/// Reads a packet that came from the nameserver to the port of the request.
///
/// The id, the operation and the question must be those of the request, with its class. Some servers send a failure
/// without the question.
pub(in super::super) fn read(packet: &[u8], request: &DnsRequest) -> Packet {
    let [high, low, flags, ..] = *packet else { return Packet::Stray };
    if u16::from_be_bytes([high, low]) != request.metadata.id || flags & RESPONSE == 0 {
        return Packet::Stray;
    }
    let Ok(message) = Message::from_vec(packet) else {
        return if flags & TRUNCATED == 0 { Packet::Malformed } else { Packet::Truncated };
    };
    let response = Response::from_wire(&message);
    let asked = message.queries == request.queries || (message.queries.is_empty() && response.is_failure());
    if message.metadata.message_type != MessageType::Response || message.metadata.op_code != OpCode::Query || !asked {
        Packet::Stray
    } else if message.metadata.truncation {
        Packet::Truncated
    } else {
        Packet::Response(response)
    }
}

/// The QR and TC bits in the third byte of a message (RFC 1035 section 4.1.1).
const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;

impl Query {
    /// Returns the request to send, with a fresh id. `edns` does not depend on `resolv.conf`: without EDNS, thirty pods
    /// need TCP.
    pub(in super::super) fn to_request(&self, edns: bool) -> Result<DnsRequest, Error> {
        // The error quotes the name, which an answer may have brought: the target of an SRV or CNAME record.
        let invalid = |error: ProtoError| {
            let reason = error.to_string();
            Error::new(Kind::Config, format!("invalid DNS query {self}: {}", reason.escape_debug()))
        };
        let mut name = Name::from_ascii(&self.name).map_err(invalid)?;
        name.set_fqdn(true);
        let rtype = match self.rtype {
            Rtype::A => RecordType::A,
            Rtype::Aaaa => RecordType::AAAA,
            Rtype::Srv => RecordType::SRV,
            Rtype::Txt => RecordType::TXT,
        };
        let mut options = DnsRequestOptions::default();
        options.use_edns = edns;
        Ok(DnsRequest::from_query(WireQuery::query(name, rtype), options))
    }
}

impl Response {
    pub(in super::super) fn from_wire(message: &Message) -> Self {
        let is_soa = |record: &WireRecord| matches!(record.data, RData::SOA(_));
        let is_ns = |record: &WireRecord| matches!(record.data, RData::NS(_));
        Self {
            rcode: match message.metadata.response_code {
                ResponseCode::NoError => Rcode::NoError,
                ResponseCode::NXDomain => Rcode::NxDomain,
                ResponseCode::FormErr => Rcode::Failure(FORMERR.to_owned()),
                ResponseCode::NotImp => Rcode::Failure(NOTIMP.to_owned()),
                ResponseCode::ServFail => Rcode::Failure(SERVFAIL.to_owned()),
                other => Rcode::Failure(other.to_str().to_owned()),
            },
            answers: section(&message.answers),
            authorities: section(&message.authorities),
            additionals: section(&message.additionals),
            truncated: message.metadata.truncation,
            referral: !message.metadata.authoritative
                && message.authorities.iter().any(is_ns)
                && !message.authorities.iter().any(is_soa),
            edns: message.edns.is_some(),
        }
    }
}

/// Converts a section. Nearly all records of a large answer have the same name, so that name is allocated once.
fn section(records: &[WireRecord]) -> Vec<Record> {
    let mut last: Option<(&Name, Arc<str>)> = None;
    let mut section = Vec::with_capacity(records.len());
    for wire in records {
        let owner = match &last {
            Some((same, owner)) if **same == wire.name => owner.clone(),
            _ => name(&wire.name),
        };
        last = Some((&wire.name, owner.clone()));
        section.push(record(wire, owner));
    }
    section
}

fn record(wire: &WireRecord, owner: Arc<str>) -> Record {
    let data = match &wire.data {
        RData::A(a) => Data::A(a.0),
        RData::AAAA(aaaa) => Data::Aaaa(aaaa.0),
        RData::CNAME(cname) => Data::Cname(name(&cname.0)),
        RData::SRV(srv) => {
            Data::Srv(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: name(&srv.target) })
        }
        RData::TXT(txt) => Data::Txt(String::from_utf8_lossy(&txt.txt_data.concat()).into()),
        RData::SOA(soa) => Data::Soa(soa.minimum),
        _ => Data::Other,
    };
    Record { name: owner, ttl: wire.ttl, data }
}

fn name(name: &Name) -> Arc<str> {
    let mut text = name.to_ascii();
    text.make_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).into()
}
