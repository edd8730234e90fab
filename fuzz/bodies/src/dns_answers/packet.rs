//! Answers as bytes, close enough to the format that the parser reads some of their records.

/// An answer of the nameserver.
#[derive(arbitrary::Arbitrary, Debug)]
pub(super) enum Packet {
    /// The matching id and question, then these records.
    Records { rcode: u8, truncated: bool, answers: Vec<Record>, authorities: Vec<Record>, additionals: Vec<Record> },
    /// The matching id and question with any other header fields, then any bytes.
    Loose { flags: u16, counts: [u8; 3], rest: Vec<u8> },
    /// The matching id, then any bytes.
    Bytes(Vec<u8>),
    /// A wrong id.
    Stray,
}

#[derive(arbitrary::Arbitrary, Debug)]
pub(super) struct Record {
    owner: Name,
    ttl: u32,
    data: Data,
}

/// The owner or target of a record. There are few names, so that records often refer to each other.
#[derive(arbitrary::Arbitrary, Clone, Copy, Debug)]
enum Name {
    /// A pointer to the name in the question.
    Question,
    Root,
    Web0,
    Web1,
    External,
    /// A pointer into the message.
    Pointer(u16),
    /// Labels of any bytes.
    Bytes([u8; 3]),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Data {
    A([u8; 4]),
    NoA,
    Aaaa([u8; 16]),
    Cname(Name),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    Soa {
        minimum: u32,
    },
    Opt(Vec<u8>),
    /// Any type, with data that need not be valid for it.
    Other {
        rtype: u16,
        bytes: Vec<u8>,
    },
}

const HEADER: usize = 12;

impl Packet {
    pub(super) fn reply(&self, request: &[u8]) -> Vec<u8> {
        let id = request.get(..2).unwrap_or(&[0, 0]);
        let mut reply = id.to_vec();
        match self {
            Self::Records { rcode, truncated, answers, authorities, additionals } => {
                let sections = [answers, authorities, additionals].map(|all| &all[..all.len().min(12)]);
                let flags = 0x8180 | (u16::from(*truncated) << 9) | u16::from(rcode % 16);
                header(&mut reply, flags, sections.map(|all| all.len() as u8));
                reply.extend(question(request));
                sections.into_iter().flatten().for_each(|record| record.write(&mut reply));
            }
            Self::Loose { flags, counts, rest } => {
                header(&mut reply, *flags, *counts);
                reply.extend(question(request));
                reply.extend(rest);
            }
            Self::Bytes(bytes) => reply.extend(bytes),
            Self::Stray => reply.iter_mut().for_each(|byte| *byte = !*byte),
        }
        reply
    }
}

impl Record {
    fn write(&self, out: &mut Vec<u8>) {
        self.owner.write(out);
        let mut data = Vec::new();
        let rtype: u16 = match &self.data {
            Data::A(ip) => put(&mut data, 1, ip),
            Data::NoA => put(&mut data, 1, &[0; 4]),
            Data::Aaaa(ip) => put(&mut data, 28, ip),
            Data::Cname(name) => {
                name.write(&mut data);
                5
            }
            Data::Srv { priority, weight, port, target } => {
                [priority, weight, port].into_iter().for_each(|number| data.extend(number.to_be_bytes()));
                target.write(&mut data);
                33
            }
            Data::Soa { minimum } => {
                data.extend([0; 2 + 16]);
                put(&mut data, 6, &minimum.to_be_bytes())
            }
            Data::Opt(bytes) => put(&mut data, 41, bytes),
            Data::Other { rtype, bytes } => put(&mut data, *rtype, bytes),
        };
        out.extend(rtype.to_be_bytes());
        out.extend([0, 1]);
        out.extend(self.ttl.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
}

impl Name {
    fn write(self, out: &mut Vec<u8>) {
        let labels: &[&[u8]] = match self {
            Self::Question => return out.extend([0xc0, HEADER as u8]),
            Self::Pointer(to) => return out.extend((0xc000 | to).to_be_bytes()),
            Self::Root => &[],
            Self::Web0 => &[b"web-0", b"orders", b"shop", b"svc", b"cluster", b"local"],
            Self::Web1 => &[b"web-1", b"orders", b"shop", b"svc", b"cluster", b"local"],
            Self::External => &[b"db", b"example", b"com"],
            Self::Bytes(ref bytes) => &[bytes, b"example"],
        };
        for label in labels {
            out.push(label.len() as u8);
            out.extend(*label);
        }
        out.push(0);
    }
}

fn header(out: &mut Vec<u8>, flags: u16, [answers, authorities, additionals]: [u8; 3]) {
    out.extend(flags.to_be_bytes());
    out.extend([0, 1, 0, answers, 0, authorities, 0, additionals]);
}

/// The question section of a request: the bytes between the header and the end of type and class.
fn question(request: &[u8]) -> &[u8] {
    let mut end = HEADER;
    while let Some(length) = request.get(end).filter(|length| **length != 0) {
        end += 1 + usize::from(*length);
    }
    request.get(HEADER..end + 5).unwrap_or_default()
}

fn put(out: &mut Vec<u8>, rtype: u16, bytes: &[u8]) -> u16 {
    out.extend(bytes);
    rtype
}
