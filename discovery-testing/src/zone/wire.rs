//! Records to hickory-proto's types.

use hickory_proto::{
    ProtoError,
    op::Message,
    rr::{
        Name, RData, Record as WireRecord,
        rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT},
    },
};

use super::{Answer, Data, Record};

/// CoreDNS `plugin.SOA`, in seconds.
const REFRESH: i32 = 7200;
const RETRY: i32 = 1800;
const EXPIRE: i32 = 86_400;

impl Answer {
    /// Writes the answer to a message that already has its id, flags and query.
    pub(crate) fn write_to(&self, message: &mut Message) -> Result<(), ProtoError> {
        message.metadata.response_code = self.code;
        message.metadata.authoritative = self.authoritative;
        // Names outside the cluster are answered by a resolver, which offers recursion.
        message.metadata.recursion_available = !self.authoritative;
        message.answers = records(&self.answers)?;
        message.authorities = records(&self.authorities)?;
        message.additionals = records(&self.additionals)?;
        Ok(())
    }
}

fn records(section: &[Record]) -> Result<Vec<WireRecord>, ProtoError> {
    let records = section.iter().map(|record| {
        let data = rdata(&record.data)?;
        Ok(WireRecord::from_rdata(name(&record.owner)?, record.ttl, data))
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
