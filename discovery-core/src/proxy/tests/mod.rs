//! One test for each sentence of the rules, named after it. Upstream's own tests that say the same are named beside.

mod world;

mod endpoints;
mod service;
mod text;
mod topology;
