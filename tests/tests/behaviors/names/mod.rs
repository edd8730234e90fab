//! What a name means: the queries that it leads to, and the host that a request carries.

mod addresses;
mod cluster_domain;
mod cookies;
mod corefile;
mod external_names;
mod host_header;
mod hosts;
mod machine;
mod namespace;
mod proxies;
mod query_budget;
mod redirects;
mod remembered_names;
mod search_lists;
mod smoke;
