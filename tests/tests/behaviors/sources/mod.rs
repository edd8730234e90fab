//! Where endpoints come from, and which source answers.

mod custom;
mod edns;
mod environment;
mod explanation;
mod large_answers;
mod load;
mod lost_packets;
mod nameservers;
mod outdated_variables;
mod overrides;
mod precedence;
mod resolv_conf;
mod resolver_options;
mod retransmission;
mod special_addresses;
mod srv_records;
