//! Converts between hickory's types and ours. Only this file and the transports use hickory's types.

use std::sync::Arc;

use hickory_net::proto::{
    op::{DnsRequest, DnsRequestOptions, Message, Query as WireQuery, ResponseCode},
    rr::{Name, RData, Record as WireRecord, RecordType},
};

use super::{Data, Error, Query, Rcode, Record, Response, Rtype, Srv};
use crate::{error::Kind, source::dns::RETRANSMIT_AFTER};

impl Query {
    /// Returns the request to send. It has EDNS whatever `resolv.conf` says: without EDNS, thirty pods need TCP.
    pub(in super::super) fn to_request(&self) -> Result<DnsRequest, Error> {
        let invalid = |error| Error::with_source(Kind::Config, format!("invalid DNS query {self}: {error}"), error);
        let mut name = Name::from_ascii(&self.name).map_err(invalid)?;
        name.set_fqdn(true);
        let rtype = match self.rtype {
            Rtype::A => RecordType::A,
            Rtype::Aaaa => RecordType::AAAA,
            Rtype::Srv => RecordType::SRV,
            Rtype::Txt => RecordType::TXT,
        };
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.retry_interval = RETRANSMIT_AFTER;
        Ok(DnsRequest::from_query(WireQuery::query(name, rtype), options))
    }
}

impl Response {
    pub(in super::super) fn from_wire(message: &Message) -> Self {
        Self {
            rcode: match message.metadata.response_code {
                ResponseCode::NoError => Rcode::NoError,
                ResponseCode::NXDomain => Rcode::NxDomain,
                other => Rcode::Failure(other.to_str().to_owned()),
            },
            answers: section(&message.answers),
            authorities: section(&message.authorities),
            additionals: section(&message.additionals),
            truncated: message.metadata.truncation,
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
