//! The body of a registration: exactly the fields that every server accepts, in the shapes that all of them accept.
//!
//! A port as a plain number, an unknown object, a nested piece of metadata or a data centre without a class are 400 to a
//! server; a record without `overriddenstatus` is 500 to some (Netflix #1541).

use std::collections::BTreeMap;

use serde::Serialize;

use super::Status;

/// What a registration says.
#[derive(Clone, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) id: &'a str,
    pub(crate) host_name: &'a str,
    /// Upper case.
    pub(crate) app: &'a str,
    pub(crate) ip_addr: &'a str,
    pub(crate) status: Status,
    pub(crate) port: Option<u16>,
    pub(crate) secure_port: Option<u16>,
    pub(crate) renewal_secs: u64,
    pub(crate) duration_secs: u64,
    pub(crate) metadata: &'a BTreeMap<String, String>,
    pub(crate) urls: &'a Urls,
    pub(crate) vip: &'a str,
    pub(crate) secure_vip: &'a str,
    /// When the record last changed, in milliseconds since 1970.
    pub(crate) dirty: u64,
}

/// The URLs of a record; what is `None` is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Urls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) home_page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secure_health_check_url: Option<String>,
}

impl Body<'_> {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let record = Record {
            instance_id: self.id,
            host_name: self.host_name,
            app: self.app,
            ip_addr: self.ip_addr,
            status: self.status.as_str(),
            overriddenstatus: Status::Unknown.as_str(),
            port: Port::new(self.port, 80),
            secure_port: Port::new(self.secure_port, 443),
            country_id: 1,
            data_center_info: DataCenter::OWN,
            lease_info: Lease { renewal_interval_in_secs: self.renewal_secs, duration_in_secs: self.duration_secs },
            metadata: self.metadata,
            urls: self.urls,
            vip_address: self.vip,
            secure_vip_address: self.secure_vip,
            is_coordinating_discovery_server: "false",
            last_updated_timestamp: self.dirty.to_string(),
            last_dirty_timestamp: self.dirty.to_string(),
        };
        // Texts, numbers and maps with keys of text: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&Wrapped { instance: record }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Wrapped<'a> {
    instance: Record<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    instance_id: &'a str,
    host_name: &'a str,
    app: &'a str,
    ip_addr: &'a str,
    status: &'static str,
    overriddenstatus: &'static str,
    port: Port,
    secure_port: Port,
    country_id: u8,
    data_center_info: DataCenter,
    lease_info: Lease,
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    urls: &'a Urls,
    vip_address: &'a str,
    secure_vip_address: &'a str,
    is_coordinating_discovery_server: &'static str,
    last_updated_timestamp: String,
    last_dirty_timestamp: String,
}

#[derive(Serialize)]
struct Port {
    #[serde(rename = "$")]
    number: u16,
    #[serde(rename = "@enabled")]
    enabled: &'static str,
}

impl Port {
    /// A port that is not in use is said to be so: a server would invent 7001 or 7002 for one that is absent.
    fn new(number: Option<u16>, otherwise: u16) -> Self {
        let enabled = if number.is_some() { "true" } else { "false" };
        Self { number: number.unwrap_or(otherwise), enabled }
    }
}

#[derive(Serialize)]
struct DataCenter {
    #[serde(rename = "@class")]
    class: &'static str,
    name: &'static str,
}

impl DataCenter {
    const OWN: Self = Self { class: "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", name: "MyOwn" };
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lease {
    renewal_interval_in_secs: u64,
    duration_in_secs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract 1.5, "send exactly this".
    #[test]
    fn the_body_is_exactly_what_every_server_accepts() {
        let metadata = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        let urls = Urls { home_page_url: Some("http://10.42.3.17:8080/".to_owned()), ..Urls::default() };
        let body = Body {
            id: "rates-0:rates:8080:10.42.3.17",
            host_name: "10.42.3.17",
            app: "RATES",
            ip_addr: "10.42.3.17",
            status: Status::Up,
            port: Some(8080),
            secure_port: None,
            renewal_secs: 30,
            duration_secs: 90,
            metadata: &metadata,
            urls: &urls,
            vip: "rates",
            secure_vip: "rates",
            dirty: 1_457_714_988_172,
        };
        let expected = concat!(
            r#"{"instance":{"instanceId":"rates-0:rates:8080:10.42.3.17","hostName":"10.42.3.17","app":"RATES","#,
            r#""ipAddr":"10.42.3.17","status":"UP","overriddenstatus":"UNKNOWN","#,
            r#""port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"countryId":1,"#,
            r#""dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},"#,
            r#""leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90},"metadata":{"zone":"a"},"#,
            r#""homePageUrl":"http://10.42.3.17:8080/","vipAddress":"rates","secureVipAddress":"rates","#,
            r#""isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1457714988172","#,
            r#""lastDirtyTimestamp":"1457714988172"}}"#,
        );
        assert_eq!(String::from_utf8(body.to_json()).unwrap(), expected);
    }
}
