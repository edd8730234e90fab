//! Between this crate's records and bytes, by hickory-proto.

use hickory_proto::{
    ProtoError,
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT},
    },
};

use crate::zone::{Answer, Data, Rcode, Rr};

/// CoreDNS `plugin.SOA`, in seconds.
const REFRESH: i32 = 7200;
const RETRY: i32 = 1800;
const EXPIRE: i32 = 86_400;

/// Puts an answer into a message that already has id, flags and question.
pub(super) fn fill(message: &mut Message, answer: &Answer) -> Result<(), ProtoError> {
    message.metadata.response_code = code(answer.rcode);
    message.metadata.authoritative = answer.authoritative;
    message.answers = records(&answer.answers)?;
    message.authorities = records(&answer.authorities)?;
    message.additionals = records(&answer.additionals)?;
    Ok(())
}

/// Encodes a message into at most `limit` bytes. Records are dropped from the end, Additional first,
/// and TC says so whatever was dropped (miekg/dns `msg_truncate.go`).
///
/// hickory-proto compresses only the first 120 names of a message, so 64 KiB over TCP hold about 725 SRV
/// records here, and more from CoreDNS.
pub(super) fn fit(mut message: Message, limit: usize) -> Result<Vec<u8>, ProtoError> {
    let whole = message.to_vec()?;
    if whole.len() <= limit {
        return Ok(whole);
    }
    message.metadata.truncation = true;
    let total = message.all_sections().count();
    let (mut fits, mut over) = (0, total);
    while over - fits > 1 {
        let middle = fits.midpoint(over);
        if keep(&message, middle).to_vec()?.len() <= limit {
            fits = middle;
        } else {
            over = middle;
        }
    }
    keep(&message, fits).to_vec()
}

/// The first `records` of all sections, in order.
pub(super) fn keep(message: &Message, records: usize) -> Message {
    let mut kept = message.clone();
    let mut left = records;
    for section in [&mut kept.answers, &mut kept.authorities, &mut kept.additionals] {
        section.truncate(left);
        left -= section.len();
    }
    kept
}

/// A response header with the id of the question, that claims a question and an answer which do not parse.
pub(super) fn garbage(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0x3f, 0xff, 0xff]);
    bytes
}

pub(super) fn code(rcode: Rcode) -> ResponseCode {
    match rcode {
        Rcode::NoError => ResponseCode::NoError,
        Rcode::FormErr => ResponseCode::FormErr,
        Rcode::ServFail => ResponseCode::ServFail,
        Rcode::NxDomain => ResponseCode::NXDomain,
        Rcode::NotImp => ResponseCode::NotImp,
        Rcode::Refused => ResponseCode::Refused,
    }
}

fn records(section: &[Rr]) -> Result<Vec<Record>, ProtoError> {
    let records = section.iter().map(|record| {
        let data = rdata(&record.data)?;
        Ok(Record::from_rdata(name(&record.owner)?, record.ttl, data))
    });
    records.collect()
}

fn rdata(data: &Data) -> Result<RData, ProtoError> {
    Ok(match data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
        Data::Srv { priority, weight, port, target } => RData::SRV(SRV::new(*priority, *weight, *port, name(target)?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.clone()])),
        Data::Ptr(target) => RData::PTR(PTR(name(target)?)),
        Data::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        Data::Ns(target) => RData::NS(NS(name(target)?)),
        Data::Soa { mname, rname, serial, minimum } => {
            RData::SOA(SOA::new(name(mname)?, name(rname)?, *serial, REFRESH, RETRY, EXPIRE, *minimum))
        }
    })
}

fn name(text: &str) -> Result<Name, ProtoError> {
    Name::from_ascii(text)
}
