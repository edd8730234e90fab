//! The behaviours that the documentation promises, on a real DNS server and real HTTP servers on loopback.

mod smoke;
