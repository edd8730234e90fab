//! How long an answer is used: refreshes, failures, negative answers and contradicting answers.

mod families;
mod flapping;
mod negative_answers;
mod outage;
mod refreshes;
mod stale_addresses;
mod ttl;
