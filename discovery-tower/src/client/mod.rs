//! An HTTP client on hyper-util that balances each request, and connectors.

mod builder;
mod connector;
mod endpoint;
mod io;
mod origin;
mod policy;
mod replay;
mod service;

pub use builder::HttpClientBuilder;
pub use connector::EndpointConnector;
pub use origin::Origin;
pub use replay::ReplayBody;
pub use service::HttpClient;
