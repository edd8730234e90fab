//! The properties below `eureka.instance`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{value::Value, variables::Variables};
use crate::{
    Error, RegistrationBuilder, Status,
    identity::PodEnvironment,
    registration::{check_app, check_host, check_id},
};

/// The defaults of `EurekaInstanceConfigBean`, and of this crate.
const RENEWAL: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(90);

/// The properties below `eureka.instance`, and those of the registration below `eureka.client`.
#[derive(Clone, Default)]
pub(super) struct InstanceProperties {
    app: Option<String>,
    vip: Option<String>,
    secure_vip: Option<String>,
    id: Option<String>,
    host_name: Option<String>,
    ip: Option<IpAddr>,
    port: Option<u16>,
    secure_port: Option<u16>,
    lease: Option<(Duration, Duration)>,
    status: Option<Status>,
    home_page: Option<String>,
    status_page: Option<String>,
    health_check: Option<String>,
    secure_health_check: Option<String>,
    metadata: BTreeMap<String, String>,
    keep_registered: bool,
    required: bool,
}

impl InstanceProperties {
    pub(super) fn read(variables: &Variables<'_>, environment: &PodEnvironment) -> Result<Self, Error> {
        let text = |property: &str| variables.get(property).map(|value| value.plain().map(str::to_owned)).transpose();
        let checked = |property: &str, check: fn(&str) -> Result<(), Error>| -> Result<Option<String>, Error> {
            let Some(value) = variables.get(property) else { return Ok(None) };
            check(value.plain()?).map_err(|error| value.explain(&error))?;
            Ok(Some(value.text().to_owned()))
        };
        let boolean = |property: &str| variables.get(property).map(|value| value.boolean()).transpose();
        let spring_name = checked("spring.application.name", check_app)?;
        let (port, secure_port) = ports(variables)?;
        Ok(Self {
            app: checked("eureka.instance.appname", check_app)?.or_else(|| spring_name.clone()),
            vip: text("eureka.instance.virtual-host-name")?.or_else(|| spring_name.clone()),
            secure_vip: text("eureka.instance.secure-virtual-host-name")?.or(spring_name),
            id: checked("eureka.instance.instance-id", check_id)?,
            host_name: host_name(variables, environment, checked("eureka.instance.hostname", check_host)?)?,
            ip: variables.get("eureka.instance.ip-address").map(|value| value.ip()).transpose()?,
            port,
            secure_port,
            lease: lease(variables)?,
            status: variables.get("eureka.instance.initial-status").map(|value| value.status()).transpose()?,
            home_page: page(variables, "eureka.instance.home-page-url")?,
            status_page: page(variables, "eureka.instance.status-page-url")?,
            health_check: page(variables, "eureka.instance.health-check-url")?,
            secure_health_check: variables
                .get("eureka.instance.secure-health-check-url")
                .map(|value| value.url())
                .transpose()?,
            metadata: metadata(variables)?,
            keep_registered: boolean("eureka.client.should-unregister-on-shutdown")? == Some(false),
            required: boolean("eureka.client.should-enforce-registration-at-init")? == Some(true),
        })
    }

    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }

    pub(super) fn apply_to(&self, builder: RegistrationBuilder) -> RegistrationBuilder {
        let set = |builder: RegistrationBuilder,
                   value: &Option<String>,
                   setter: fn(RegistrationBuilder, String) -> RegistrationBuilder| match value {
            Some(value) => setter(builder, value.clone()),
            None => builder,
        };
        let mut builder = builder.unregister_on_shutdown(!self.keep_registered);
        builder = set(builder, &self.vip, RegistrationBuilder::vip);
        builder = set(builder, &self.secure_vip, RegistrationBuilder::secure_vip);
        builder = set(builder, &self.id, RegistrationBuilder::instance_id);
        builder = set(builder, &self.host_name, RegistrationBuilder::host_name);
        builder = set(builder, &self.home_page, RegistrationBuilder::home_page);
        builder = set(builder, &self.status_page, RegistrationBuilder::status_page);
        builder = set(builder, &self.health_check, RegistrationBuilder::health_check);
        builder = set(builder, &self.secure_health_check, RegistrationBuilder::secure_health_check);
        for (key, value) in &self.metadata {
            builder = builder.metadata(key, value);
        }
        if let Some(ip) = self.ip {
            builder = builder.ip(ip);
        }
        if let Some(port) = self.port {
            builder = builder.port(port);
        }
        if let Some(port) = self.secure_port {
            builder = builder.secure_port(port);
        }
        if let Some((renewal, lease)) = self.lease {
            builder = builder.lease(renewal, lease);
        }
        if let Some(status) = self.status {
            builder = builder.status(status);
        }
        if self.required { builder.required() } else { builder }
    }
}

/// `EurekaClientAutoConfiguration`: both ports are `server.port`, unless they are set; the port with TLS is off.
fn ports(variables: &Variables<'_>) -> Result<(Option<u16>, Option<u16>), Error> {
    let server = variables.get("server.port").filter(|value| !variables.is_kubelets(value));
    let port = |property: &str| variables.get(property).or(server).map(|value| value.port()).transpose();
    let enabled = |property: &str, default: bool| match variables.get(property) {
        Some(value) => value.boolean(),
        None => Ok(default),
    };
    let plain = port("eureka.instance.non-secure-port")?;
    let secure = port("eureka.instance.secure-port")?;
    let plain_enabled = enabled("eureka.instance.non-secure-port-enabled", true)?;
    let secure_enabled = enabled("eureka.instance.secure-port-enabled", false)?;
    Ok((plain.filter(|_| plain_enabled), secure.filter(|_| secure_enabled)))
}

/// Returns the host name; `None` stands for the address.
///
/// Spring prefers the name of the machine unless `prefer-ip-address` is set. The name of a pod does not resolve, so it is
/// registered only if `prefer-ip-address` is `false` in so many words.
fn host_name(
    variables: &Variables<'_>,
    environment: &PodEnvironment,
    configured: Option<String>,
) -> Result<Option<String>, Error> {
    let Some(prefer) = variables.get("eureka.instance.prefer-ip-address") else { return Ok(configured) };
    if prefer.boolean()? {
        return Ok(None);
    }
    match configured.or_else(|| environment.pod_name().map(str::to_owned)) {
        Some(name) => Ok(Some(name)),
        None => Err(prefer.invalid(
            "an instance that does not prefer its IP address needs a host name",
            "set EUREKA_INSTANCE_HOSTNAME, or EUREKA_INSTANCE_PREFER_IP_ADDRESS to true",
        )),
    }
}

fn lease(variables: &Variables<'_>) -> Result<Option<(Duration, Duration)>, Error> {
    let interval = variables.get("eureka.instance.lease-renewal-interval-in-seconds");
    let duration = variables.get("eureka.instance.lease-expiration-duration-in-seconds");
    let seconds = |value: Option<Value<'_>>, default| value.map_or(Ok(default), |value| value.seconds());
    let (renewal, lease) = (seconds(interval, RENEWAL)?, seconds(duration, LEASE)?);
    match duration.or(interval) {
        Some(value) if lease <= renewal => Err(value.invalid(
            &format!(
                "the lease of {} s would end before the next heartbeat, after {} s",
                lease.as_secs(),
                renewal.as_secs()
            ),
            "set EUREKA_INSTANCE_LEASE_EXPIRATION_DURATION_IN_SECONDS to about three times \
             EUREKA_INSTANCE_LEASE_RENEWAL_INTERVAL_IN_SECONDS",
        )),
        Some(_) => Ok(Some((renewal, lease))),
        None => Ok(None),
    }
}

/// Returns a page; the URL wins over the path. Both are read, so that an invalid one is an error.
fn page(variables: &Variables<'_>, property: &str) -> Result<Option<String>, Error> {
    let url = variables.get(property).map(|value| value.url()).transpose()?;
    let path = variables.get(&format!("{property}-path")).map(|value| value.path()).transpose()?;
    Ok(url.or(path))
}

fn metadata(variables: &Variables<'_>) -> Result<BTreeMap<String, String>, Error> {
    let entries = variables.metadata().into_iter();
    entries.map(|(key, value)| Ok((key, value.plain()?.to_owned()))).collect()
}
