//! The properties below `eureka.client`.

use std::time::Duration;

use super::variables::Variables;
use crate::{Error, EurekaSourceBuilder, RegistryBuilder, registry::check_urls};

/// `EurekaClientConfigBean.DEFAULT_URL` of spring-cloud-netflix.
const DEFAULT_URL: &str = "http://localhost:8761/eureka/";

/// The properties below `eureka.client`, and those that switch discovery off.
#[derive(Clone)]
pub(super) struct ClientProperties {
    registers: bool,
    fetches: bool,
    urls: String,
    request_timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    fetch_interval: Option<Duration>,
    disable_delta: bool,
    vip: Option<String>,
}

impl ClientProperties {
    pub(super) fn read(variables: &Variables<'_>, is_pod: bool) -> Result<Self, Error> {
        let boolean = |property: &str, default: bool| match variables.get(property) {
            Some(value) => value.boolean(),
            None => Ok(default),
        };
        let seconds = |property: &str| variables.get(property).map(|value| value.seconds()).transpose();
        // Every value is read, so that an invalid one is an error whatever the others are.
        let enabled = [boolean("eureka.client.enabled", true)?, boolean("spring.cloud.discovery.enabled", true)?];
        let registers = [
            boolean("eureka.client.register-with-eureka", true)?,
            boolean("spring.cloud.service-registry.auto-registration.enabled", true)?,
        ];
        let fetches = boolean("eureka.client.fetch-registry", true)?;
        let enabled = enabled == [true, true];
        let (registers, fetches) = (enabled && registers == [true, true], enabled && fetches);
        Ok(Self {
            registers,
            fetches,
            urls: urls(variables, is_pod && (registers || fetches))?,
            request_timeout: seconds("eureka.client.eureka-server-read-timeout-seconds")?,
            connect_timeout: seconds("eureka.client.eureka-server-connect-timeout-seconds")?,
            fetch_interval: seconds("eureka.client.registry-fetch-interval-seconds")?,
            disable_delta: boolean("eureka.client.disable-delta", false)?,
            vip: match variables.get("eureka.client.registry-refresh-single-vip-address") {
                Some(value) => Some(value.plain()?.to_owned()),
                None => None,
            },
        })
    }

    pub(super) fn registers(&self) -> bool {
        self.registers
    }

    pub(super) fn fetches(&self) -> bool {
        self.fetches
    }

    pub(super) fn urls(&self) -> &str {
        &self.urls
    }

    pub(super) fn apply_to_registry(&self, mut builder: RegistryBuilder) -> RegistryBuilder {
        if let Some(timeout) = self.request_timeout {
            builder = builder.request_timeout(timeout);
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        builder
    }

    pub(super) fn apply_to_source(&self, mut builder: EurekaSourceBuilder) -> EurekaSourceBuilder {
        if let Some(interval) = self.fetch_interval {
            builder = builder.fetch_interval(interval);
        }
        if self.disable_delta {
            builder = builder.disable_delta();
        }
        if let Some(vip) = &self.vip {
            builder = builder.vip(vip.as_str());
        }
        builder
    }
}

fn urls(variables: &Variables<'_>, required: bool) -> Result<String, Error> {
    match variables.get("eureka.client.service-url.defaultZone") {
        Some(value) => {
            check_urls(value.plain()?).map_err(|error| value.explain(&error))?;
            Ok(value.text().to_owned())
        }
        None if required => Err(Error::config(format!(
            "EUREKA_CLIENT_SERVICEURL_DEFAULTZONE is not set: Spring's default {DEFAULT_URL} leads to this pod itself; set \
             the URL of the registry, such as http://eureka.infra.svc:8761/eureka"
        ))),
        None => Ok(DEFAULT_URL.to_owned()),
    }
}
