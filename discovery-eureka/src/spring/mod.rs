//! Settings from the variables of Spring Cloud Netflix.
//!
//! | module | content |
//! |---|---|
//! | `variables` | the variables of Spring, by the property that they set |
//! | `value` | one value as text, and the error if it is not what the property takes |
//! | `client` | the properties below `eureka.client` |
//! | `instance` | the properties below `eureka.instance` |
//! | `settings` | the public settings |

mod client;
mod instance;
mod settings;
mod value;
mod variables;

pub use settings::SpringSettings;

#[cfg(test)]
mod tests;
